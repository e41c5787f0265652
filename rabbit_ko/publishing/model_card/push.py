"""Push a stage to the hub: its adapter or its merged model, with the card, in one commit.

What goes is named in a list. Weights are safetensors; a pickle could run code where it is loaded.
"""

import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open

from rabbit_ko import hub
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.stages import Stage, adapter_base, find_stage
from rabbit_ko.publishing.model_card.facts import card_file
from rabbit_ko.publishing.model_card.header import library, relation
from rabbit_ko.publishing.model_card.names import REPO, check_trained, is_adapter_of_the_hub
from rabbit_ko.publishing.model_card.runs import RUN_FILE

ALLOWED = re.compile(
    r"(adapter_model|model)(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|"
    r"(adapter_|generation_)?config\.json|"
    r"tokenizer(_config)?\.json|tokenizer\.model|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt|"
    r"chat_template\.jinja"
)
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


def push(recipe: str, name: str, repo: str, merged: bool, public: bool) -> str:
    """Push a stage to the hub model `org/name`; return the commit's URL.

    Raises UserError where the model or its card may not go as it is, and as `hub.commit` does.
    """
    stage = find_stage(recipe, name)
    check_trained(stage)
    folder = merged_folder(stage) if merged else adapter_folder(stage)
    check_weights(folder)
    files: hub.Files = {file.name: file for file in sorted(folder.iterdir()) if ALLOWED.fullmatch(file.name)}
    files[RUN_FILE] = Path(stage.model) / RUN_FILE
    files["README.md"] = card_for(stage, repo, is_adapter=(folder / "adapter_config.json").exists()).encode()
    return hub.commit(repo, files, f"{recipe} {name}", public, "model")


def adapter_folder(stage: Stage) -> Path:
    """Return the folder of a stage's adapter, or of the model where all weights were trained.

    Raises UserError where nobody else could put the adapter on its base.
    """
    beneath = adapter_base(Path(stage.model))
    if beneath and not is_adapter_of_the_hub(stage):
        raise UserError(
            f"{stage.model}: the adapter is on {beneath}, which is only on this machine; run "
            f"`make merge RECIPE={stage.recipe} STAGE={stage.name}` and push the merged model with MERGED=1"
        )
    return Path(stage.model)


def merged_folder(stage: Stage) -> Path:
    """Return the folder of a stage's merged model. Raises UserError where it is not there, or of an earlier run."""
    folder = Path(stage.model) / "merged"
    # Merging writes this file last.
    done = folder / "tokenizer_config.json"
    if not done.exists() or done.stat().st_mtime < (Path(stage.model) / RUN_FILE).stat().st_mtime:
        raise UserError(
            f"{folder}: no merged model of this run; run `make merge RECIPE={stage.recipe} STAGE={stage.name}` first"
        )
    return folder


def check_weights(folder: Path) -> None:
    """Raise UserError where the weights are not whole, or not safetensors."""
    is_adapter = (folder / "adapter_config.json").exists()
    wanted = [folder / ("adapter_model.safetensors" if is_adapter else "model.safetensors")]
    index = folder / "model.safetensors.index.json"
    if index.exists() and not is_adapter:
        wanted = [folder / name for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values()))]
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
    for file in wanted:
        if not file.exists():
            there = f"there is {pickles[0]}, which may run code where it is loaded" if pickles else "nothing to push"
            raise UserError(f"{file}: is missing, and {there}; save the weights as safetensors and push again")
        try:
            with safe_open(file, "np"):
                pass
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file}: not whole safetensors: {reason(error)}; train or merge again") from None


def card_for(stage: Stage, repo: str, is_adapter: bool) -> str:
    """Return the card with the repo's name in it, and with the library that loads what is pushed.

    Raises UserError where there is none, or it was not written after the stage was trained.
    """
    file = card_file(stage)
    command = f"`make card RECIPE={stage.recipe} STAGE={stage.name}`"
    card = _read_card(file)
    if card is None:
        raise UserError(f"{file}: no card of this project; run {command} first")
    if file.stat().st_mtime < (Path(stage.model) / RUN_FILE).stat().st_mtime:
        raise UserError(f"{file}: older than the run that it describes; run {command} again")
    card.data.library_name = library(is_adapter)
    if card.data.base_model:
        card.data.base_model_relation = relation(is_adapter)
    return str(card).replace(REPO, repo)


def _read_card(file: Path) -> Any:
    """Read a card; None where there is none, or another program wrote it."""
    try:
        card = ModelCard.load(file)
    except (OSError, ValueError):
        return None
    return card if "rabbit-ko" in (card.data.tags or []) else None
