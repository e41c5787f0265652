"""The stages of a recipe that can be evaluated: its base model, and what each training method made of it."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash

from axolotl_plugins.checks.base_model import stage_chat_template
from axolotl_plugins.checks.model_files import ADAPTER_CONFIG, BASE_OF_ADAPTER, trusts
from axolotl_plugins.portable import without_old_names
from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Template, template_for
from rabbit_ko import hub
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError
from rabbit_ko.methods import stage_method, stages_in
from rabbit_ko.recipes import RUN_FILE, Recipe, find_recipe, read_config
from rabbit_ko.run_record import read_run, remedy, text_at

BASE = "base"
_WEIGHTS_AND_PROMPT = ("*.safetensors", ADAPTER_CONFIG, "config.json", "tokenizer.json", "chat_template.jinja")


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

    @cached_property
    def config(self) -> dict[str, Any]:
        """What the stage was trained with, and for the base what the recipe's first stage is trained with."""
        is_base = self.name == BASE
        return _first_config(Recipe(self.recipe)) if is_base else read_run(Path(self.model)).config

    @property
    def headings(self) -> Template | None:
        """The prompt's template; None where the prompt is what a tokenizer's own chat template renders."""
        template = template_for(self._text("datasets", 0, "type"))
        return template if isinstance(template, Template) else None

    @cached_property
    def chat_template(self) -> str:
        """The prompt as a chat template, a native one as the run saved it, or as a run on the base would.

        Raises UserError where the base has none.
        """
        if self.headings:
            return chat_template(self.headings)
        return stage_chat_template(self.config) if self.name == BASE else self._text("chat_template_jinja")

    def _text(self, *keys: str | int) -> str:
        place = Recipe(self.recipe).folder / "sft.yaml" if self.name == BASE else Path(self.model) / RUN_FILE
        return text_at(place, self.config, *keys)

    @property
    def trusted(self) -> bool:
        """Whether code that comes with the model may run: as the stage's YAML says, and nothing that was copied."""
        recipe = Recipe(self.recipe)
        name = next((method.name for method in recipe.methods), "sft") if self.name == BASE else self.name
        return recipe.config(name).exists() and trusts(read_config(recipe.config(name)))

    @property
    def prompt(self) -> str:
        """A hash of the prompt's chat template."""
        return xxhash.xxh3_128_hexdigest(self.chat_template.encode())


def find_stage(recipe: str, name: str = "") -> Stage:
    """Find a stage, the last one that is trained where the name is empty. Raises UserError where there is none."""
    place = Recipe(recipe)
    trained = [method.name for method in stages_in(file.parent.name for file in place.runs.glob(f"*/{RUN_FILE}"))]
    name = name or (trained[-1] if trained else "sft")
    if name != BASE:
        stage_method(name, BASE)
    config = _first_config(place)
    if name != BASE:
        if name not in trained:
            raise UserError(f"{place.run(name)}: no finished run; run `make {name} RECIPE={recipe}` first")
        return Stage(recipe, name, str(place.run(name)))
    return Stage(recipe, BASE, config["base_model"])


def fingerprint(model: str) -> str:
    """Return a hash of a model's weights, tokenizer and template, of an adapter with the model that it is on.

    A hub model is named with its commit. Raises UserError where there is no model.
    """
    folder = Path(model)
    if not folder.is_dir():
        if hub.hub_id(model) is None:
            advice = "a base of the recipe's own is made when its first stage is trained"
            raise UserError(f"{model}: neither a folder that is there nor a name on the hub; {advice}")
        return f"{model}@{hub.hub_commit(model, 'model', None) or 'unknown'}"
    digest = xxhash.xxh3_128()
    for file in sorted({file for pattern in _WEIGHTS_AND_PROMPT for file in folder.glob(pattern)}):
        digest.update(file.name.encode())
        if file.name == ADAPTER_CONFIG:  # the place of its base is another on each machine
            described = {**read_object(file, remedy(folder)), BASE_OF_ADAPTER: ""}
            digest.update(json.dumps(described, sort_keys=True).encode())
            continue
        if file.name == "config.json":
            digest.update(_without_repeats(file.read_bytes()))
            continue
        with file.open("rb") as content:
            hashlib.file_digest(content, lambda: digest)  # adds to what is hashed so far
    if base := adapter_base(folder):
        digest.update(fingerprint(base).encode())
    return digest.hexdigest()


def _without_repeats(content: bytes) -> bytes:
    """Return a model's config, as transformers writes it, without what it repeats for readers of earlier versions."""
    try:
        config = json.loads(content)
    except ValueError:
        return content
    bare = without_old_names(config) if isinstance(config, dict) else config
    return content if bare == config else f"{json.dumps(bare, indent=2, sort_keys=True)}\n".encode()


def adapter_base(folder: Path) -> str | None:
    """Return the model that the folder's adapter is on, as its run names it; None where it holds no adapter.

    Raises UserError where neither its run nor its config names it.
    """
    file = folder / ADAPTER_CONFIG
    if not file.exists():
        return None
    with suppress(UserError):
        return text_at(folder / RUN_FILE, read_run(folder).config, "base_model")
    return text_at(file, read_object(file, remedy(folder)), BASE_OF_ADAPTER)


def _first_config(recipe: Recipe) -> dict[str, Any]:
    if not recipe.methods:
        find_recipe(recipe.name)
        raise UserError(f"{recipe.folder}: has no stage; write {recipe.config('sft')}")
    return read_config(recipe.config(recipe.methods[0].name))
