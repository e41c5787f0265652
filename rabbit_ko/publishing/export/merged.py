"""The model with the adapter merged into it, as `make merge` leaves it."""

from pathlib import Path

from axolotl_plugins.checks.base_model import merged_is_current
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.publishing.export import Exported, model_files


def export(stage: Stage) -> Exported:
    """Return a stage's merged model. Raises UserError where there is none of the stage's adapter as it is now."""
    folder = Path(stage.model) / "merged"
    if not merged_is_current(folder.parent):
        command = f"`make merge RECIPE={stage.recipe} STAGE={stage.name}`"
        raise UserError(f"{folder}: no merged model of this run; run {command} first")
    return Exported(model_files(folder), "transformers", "finetune")
