"""The stages of a recipe that can be evaluated: its base model, and what SFT and DPO made of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash
import yaml

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Template, template_for
from rabbit_ko.errors import UserError

STAGES = ("base", "sft", "dpo")
CONFIGS, RUNS = Path("axolotl_configs"), Path("runs")
_WEIGHTS_AND_PROMPT = ("*.safetensors", "adapter_config.json", "config.json", "tokenizer.json", "chat_template.jinja")


@dataclass(frozen=True)
class Stage:
    """A stage, and its model: a local folder, which may hold an adapter, or the name of a hub model."""

    recipe: str
    name: str
    model: str

    @property
    def results(self) -> Path:
        """The folder of what the stage's evaluation came to."""
        return results_folder(self.recipe) / self.name

    @property
    def template(self) -> Template:
        """The prompt's template: the one that the stage was trained with, and for the base that of the recipe."""
        run = Path(self.model) / "run.json"
        config = json.loads(run.read_bytes())["config"] if self.name != "base" else _config(self.recipe)
        return template_for(config["datasets"][0]["type"])

    @property
    def prompt(self) -> str:
        """A hash of the prompt's template."""
        return xxhash.xxh3_128_hexdigest(chat_template(self.template).encode())


def results_folder(recipe: str) -> Path:
    """Return the folder of all results of a recipe."""
    return RUNS / recipe / "eval"


def find_stage(recipe: str, name: str) -> Stage:
    """Find a stage and its model.

    Raises UserError where there is no such recipe or stage, or it is not trained yet.
    """
    if name not in STAGES:
        raise UserError(f"STAGE={name}: there is no such stage; stages: {', '.join(STAGES)}")
    if name == "base":
        return _base(recipe)
    _config(recipe)
    folder = RUNS / recipe / name
    if not (folder / "run.json").exists():
        raise UserError(f"{folder}: no finished run; run `make {name} RECIPE={recipe}` first")
    return Stage(recipe, name, str(folder))


def fingerprint(model: str) -> str:
    """Return a hash of a model's weights, tokenizer and template, of an adapter with the model that it is on.

    A hub model is named with its commit. Raises UserError where there is no model.
    """
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{_commit(model)}"
    digest = xxhash.xxh3_128()
    files = {file for pattern in _WEIGHTS_AND_PROMPT for file in folder.glob(pattern)}
    for file in sorted(files):
        digest.update(file.name.encode())
        with file.open("rb") as content:
            while block := content.read(1 << 24):
                digest.update(block)
    if beneath := adapter_base(folder):
        digest.update(fingerprint(beneath).encode())
    return digest.hexdigest()


def adapter_base(folder: Path) -> str | None:
    """Return the model that the folder's adapter is on; None where it holds no adapter."""
    try:
        config: dict[str, Any] = yaml.safe_load((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return str(config["base_model_name_or_path"])


def _base(recipe: str) -> Stage:
    model = _config(recipe)["base_model"]
    if model.startswith(f"{RUNS}/") and not (Path(model) / "config.json").exists():
        raise UserError(f"{model}: the base model is not made yet; run `make {model}/model.safetensors`")
    return Stage(recipe, "base", model)


def _config(recipe: str) -> dict[str, Any]:
    """Read the first stage's config; some recipes have no SFT."""
    files = [CONFIGS / recipe / f"{name}.yaml" for name in STAGES[1:]]
    config = next((file for file in files if file.exists()), None)
    if config is None:
        raise UserError(f"{CONFIGS / recipe}: no such recipe")
    loaded: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    return loaded


def _commit(model: str) -> str:
    """Return a hub model's commit, as the hub says it, or as it is in the cache."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    from rabbit_ko.hub import hub_commit

    try:
        validate_repo_id(model)
    except HFValidationError:
        raise UserError(f"{model}: neither a folder that is there nor a name on the hub") from None
    return hub_commit(model, "model", None) or "unknown"
