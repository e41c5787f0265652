"""The stages of a recipe that can be evaluated: its base model, and what each training method made of it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Template, template_for
from rabbit_ko import hub
from rabbit_ko.errors import UserError, suggest
from rabbit_ko.methods import METHODS
from rabbit_ko.recipes import RUN_FILE, RUNS, Recipe, find_recipe, read_config

BASE = "base"
_WEIGHTS_AND_PROMPT = ("*.safetensors", "adapter_config.json", "config.json", "tokenizer.json", "chat_template.jinja")


@dataclass(frozen=True)
class Stage:
    """A stage, and its model: a local folder, which may hold an adapter, or the name of a hub model."""

    recipe: str
    name: str
    model: str

    @property
    def results(self) -> Path:
        """The folder of the stage's results."""
        return Recipe(self.recipe).results / self.name

    @property
    def template(self) -> Template:
        """The prompt's template: the one that the stage was trained with, and for the base that of the recipe."""
        if self.name == BASE:
            config = _first_config(Recipe(self.recipe))
        else:
            config = json.loads((Path(self.model) / RUN_FILE).read_bytes())["config"]
        return template_for(config["datasets"][0]["type"])

    @property
    def prompt(self) -> str:
        """A hash of the prompt's template."""
        return xxhash.xxh3_128_hexdigest(chat_template(self.template).encode())


def find_stage(recipe: str, name: str) -> Stage:
    """Find a stage and its model.

    Raises UserError where there is no such recipe or stage, or it is not trained yet.
    """
    if name not in (BASE, *METHODS):
        raise UserError(f"STAGE={name}: there is no such stage{suggest(name, (BASE, *METHODS))}")
    place = Recipe(recipe)
    config = _first_config(place)
    if name != BASE:
        if not (place.run(name) / RUN_FILE).exists():
            raise UserError(f"{place.run(name)}: no finished run; run `make {name} RECIPE={recipe}` first")
        return Stage(recipe, name, str(place.run(name)))
    model = config["base_model"]
    if model.startswith(f"{RUNS}/") and not (Path(model) / "config.json").exists():
        raise UserError(
            f"{model}: the base model is not made yet; `make {place.methods[0].name} RECIPE={recipe}` does"
        )
    return Stage(recipe, BASE, model)


def latest_stage(recipe: str) -> Stage:
    """Return the last stage of a recipe that is trained. Raises UserError where none is."""
    place = Recipe(recipe)
    for name in reversed(METHODS):
        if (place.run(name) / RUN_FILE).exists():
            return Stage(recipe, name, str(place.run(name)))
    raise UserError(f"{place.runs}: holds no finished stage; run `make sft RECIPE={recipe}` first")


def fingerprint(model: str) -> str:
    """Return a hash of a model's weights, tokenizer and template, of an adapter with the model that it is on.

    A hub model is named with its commit. Raises UserError where there is no model.
    """
    folder = Path(model)
    if not folder.is_dir():
        return f"{model}@{_hub_commit(model)}"
    digest = xxhash.xxh3_128()
    for file in sorted({file for pattern in _WEIGHTS_AND_PROMPT for file in folder.glob(pattern)}):
        digest.update(file.name.encode())
        with file.open("rb") as content:
            hashlib.file_digest(content, lambda: digest)  # adds to what is hashed so far
    if base := adapter_base(folder):
        digest.update(fingerprint(base).encode())
    return digest.hexdigest()


def adapter_base(folder: Path) -> str | None:
    """Return the model that the folder's adapter is on; None where it holds no adapter."""
    file = folder / "adapter_config.json"
    return str(json.loads(file.read_bytes())["base_model_name_or_path"]) if file.exists() else None


def _first_config(recipe: Recipe) -> dict[str, Any]:
    """Read the config of the first stage that the recipe has."""
    if not recipe.methods:
        find_recipe(recipe.name)
        raise UserError(f"{recipe.folder}: has no stage; write {recipe.config('sft')}")
    return read_config(recipe.config(recipe.methods[0].name))


def _hub_commit(model: str) -> str:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        raise UserError(f"{model}: neither a folder that is there nor a name on the hub") from None
    return hub.hub_commit(model, "model", None) or "unknown"
