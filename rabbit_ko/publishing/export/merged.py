"""The model with the adapter merged into it, as `make merge` leaves it."""

import json
from pathlib import Path

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.publishing.export import Exported, model_files


def export(stage: Stage) -> Exported:
    """Return a stage's merged model. Raises UserError where there is none of the stage's adapter as it is now."""
    from axolotl_plugins.checks.base_model import MERGED_ADAPTER, adapter_digest

    folder = Path(stage.model) / "merged"
    # Merging writes the tokenizer's config last.
    is_complete = (folder / "tokenizer_config.json").exists() and (folder / "config.json").exists()
    config = json.loads((folder / "config.json").read_bytes()) if is_complete else {}
    if config.get(MERGED_ADAPTER) != adapter_digest(folder.parent):
        command = f"`make merge RECIPE={stage.recipe} STAGE={stage.name}`"
        raise UserError(f"{folder}: no merged model of this run; run {command} first")
    return Exported(model_files(folder), "transformers", "finetune")
