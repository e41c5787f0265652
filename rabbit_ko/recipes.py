"""Where things are: a recipe's configs, its data, its runs, and what its evaluation came to."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rabbit_ko.documents import read_yaml
from rabbit_ko.errors import UnknownName, UserError, suggest
from rabbit_ko.methods import METHODS, ROW_KINDS, Method, stage_method, stages_in
from rabbit_ko.secrets import check_no_secret, remember

CONFIGS, DATA, RUNS = Path("axolotl_configs"), Path("data"), Path("runs")
# Where pairs of the models' own answers are, by recipe and stage.
PAIRS = DATA / "pairs"
# What a finished run was, written last; so a folder that has it holds a finished run.
RUN_FILE = "run.json"
# The plugin that every stage's YAML names.
GUARD = "axolotl_plugins.guard.Guard"


@dataclass(frozen=True)
class Recipe:
    """A folder under `axolotl_configs/`, and the places of what is made from it."""

    name: str

    @property
    def folder(self) -> Path:
        return CONFIGS / self.name

    @property
    def data_config(self) -> Path:
        return self.folder / "data.yaml"

    @property
    def data(self) -> Path:
        """The folder of the shards and their manifest."""
        return DATA / self.name

    @property
    def runs(self) -> Path:
        return RUNS / self.name

    @property
    def results(self) -> Path:
        """The folder of what the stages' evaluation came to."""
        return self.runs / "eval"

    @property
    def base_script(self) -> Path | None:
        """The script that makes the recipe's base model, where it has one of its own."""
        script = self.folder / "make_base_model.py"
        return script if script.exists() else None

    @property
    def methods(self) -> list[Method]:
        """The methods that the recipe has a YAML for, in the order in which they are trained, then their rounds."""
        return stages_in(path.stem for path in self.folder.glob("*.yaml"))

    @property
    def finished(self) -> list[Method]:
        """The methods that have a finished run, in the same order."""
        return [method for method in self.methods if (self.run(method.name) / RUN_FILE).exists()]

    @property
    def last(self) -> str | None:
        """The stage that the recipe's way ends with: DPO where it has it, or its last method; None without any."""
        names = [method.name for method in self.methods if method.name in METHODS]
        return "dpo" if "dpo" in names else next(reversed(names), None)

    def way(self, stage: str | None) -> list[str]:
        """Return the stages that lead to a stage, each the parent of the next one, and that stage."""
        return [*self.way(self.parent(stage)), stage] if stage else []

    def config(self, stage: str) -> Path:
        """Return the place of a stage's YAML."""
        return self.folder / f"{stage}.yaml"

    def run(self, stage: str) -> Path:
        """Return the folder of a stage's run."""
        return self.runs / stage

    def pairs(self, stage: str) -> Path:
        """Return the folder of the pairs of answers that a stage's model gives."""
        return PAIRS / self.name / stage

    def parent(self, stage: str) -> str | None:
        """Return the stage whose merged model a stage starts from; None where that is the base."""
        parent = stage_method(stage).parent
        return parent if parent and self.config(parent).exists() else None


def recipe_names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(path.parent.name for path in CONFIGS.glob("*/data.yaml"))


def find_recipe(name: str) -> Recipe:
    """Return a recipe by its name. Raises UserError where there is none."""
    if name not in recipe_names():
        raise UnknownName(f"RECIPE={name}: there is no such recipe{suggest(name, recipe_names())}")
    return Recipe(name)


def run_of_config(file: Path) -> Path | None:
    """Return the folder for the run of a YAML in `axolotl_configs/<recipe>/`; None of a YAML that is elsewhere."""
    folder = file.parent.resolve()
    return Recipe(folder.name).run(file.stem) if folder.parent == CONFIGS.resolve() else None


def is_built(rows: Path) -> bool:
    """Tell whether rows are of those that builds make, such as `data/<recipe>/dpo`."""
    return rows.is_relative_to(DATA) and rows.name in ROW_KINDS


def data_of_recipe(folder: Path) -> Path:
    """Return the data of the recipe that a folder of shards is of: that folder, or that which pairs began with."""
    return DATA / folder.relative_to(PAIRS).parts[0] if PAIRS in folder.parents else folder


def built_rows(config: Mapping[str, Any]) -> set[Path]:
    """Return the folders of built rows that a stage's config trains on, such as `data/<recipe>/dpo`."""
    entries = config.get("datasets")
    named = [entry.get("path") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {path for path in (Path(path) for path in named if isinstance(path, str)) if is_built(path)}


def recipe_of_run(folder: Path) -> str | None:
    """Return the name of the recipe in whose part of `runs/` a folder is; None where it is in no recipe's."""
    names = (name for name in recipe_names() if folder.resolve().is_relative_to(Recipe(name).runs.resolve()))
    return next(names, None)


def read_config(path: Path) -> dict[str, Any]:
    """Read a stage's YAML. Raises UserError where it is not a mapping, or does not name the guard."""
    config = read_yaml(path)
    if not isinstance(config, dict):
        raise UserError(f"{path}: must hold `key: value` lines")
    if GUARD not in str(config.get("plugins")):
        raise UserError(f"{path}: add `- {GUARD}` under `plugins:`; without it a run is not checked")
    expand_base(config)
    try:
        check_no_secret(config)
    except UserError as error:
        remember(config)
        raise UserError(f"{path}: {error}") from None
    return config


def expand_base(config: MutableMapping[str, Any]) -> None:
    """Write out the home folder in a base model's path that starts with `~`, which no library does."""
    if str(config.get("base_model")).startswith("~"):
        config["base_model"] = str(Path(config["base_model"]).expanduser())
