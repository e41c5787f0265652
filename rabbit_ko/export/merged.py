"""The model with the adapter merged into it, as `make merge` leaves it."""

from pathlib import Path

from axolotl_plugins.checks.base_model import merged_is_current
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage, adapter_base
from rabbit_ko.export import Pushed
from rabbit_ko.export._folder import refuse_quant
from rabbit_ko.export._safetensors import model_files
from rabbit_ko.recipes import Recipe
from rabbit_ko.terminal import say
from rabbit_ko.training.run import merge


def make(stage: Stage, quant: str, llama_cpp: str) -> Path:
    """Merge a stage's adapter unless it is merged; return the model's folder. Raises UserError."""
    refuse_quant("merged", quant)
    is_new, folder = merge(Recipe(stage.recipe), stage.name), _place(stage)
    say(f"{folder}: {'merged' if is_new else 'up to date'}")
    return folder


def complete_model(stage: Stage) -> Path:
    """Return the folder of a stage's complete model, merged first where it is not; says nothing of one that is.

    Raises UserError.
    """
    merge(Recipe(stage.recipe), stage.name)
    return _place(stage)


def merged_folder(stage: Stage) -> Path:
    """Return the folder of a stage's complete model, the run's own where all weights were trained.

    Raises UserError where the adapter, as it is now, is not merged.
    """
    run, folder = Path(stage.model), _place(stage)
    if folder != run and not merged_is_current(run):
        command = f"`make merge RECIPE={stage.recipe} STAGE={stage.name}`"
        raise UserError(f"{folder}: no merged model of this run; run {command} first")
    return folder


def _place(stage: Stage) -> Path:
    run = Path(stage.model)
    return run if adapter_base(run) is None else run / "merged"


def made(stage: Stage, quant: str, llama_cpp: str = "") -> list[Path]:
    """Return the folder of the merged model. Raises UserError where there is none of the adapter as it is now."""
    refuse_quant("merged", quant)
    return [merged_folder(stage)]


def pushed(stage: Stage, quant: str) -> Pushed:
    """Return a stage's merged model. Raises UserError where there is none of the stage's adapter as it is now."""
    refuse_quant("merged", quant)
    return Pushed(model_files(merged_folder(stage)), "transformers", "finetune")
