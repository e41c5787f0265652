"""The LoRA adapter as it was trained, or the model itself where all weights were trained."""

from pathlib import Path

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage, adapter_base
from rabbit_ko.export import Pushed
from rabbit_ko.export._folder import refuse_quant
from rabbit_ko.export._safetensors import model_files
from rabbit_ko.hub import hub_id
from rabbit_ko.run_record import check_run
from rabbit_ko.terminal import say


def make(stage: Stage, quant: str, llama_cpp: str) -> Path:
    """Return the folder of the run, which holds it. Raises UserError where it is no longer what the run wrote."""
    refuse_quant("adapter", quant)
    check_run(Path(stage.model))
    say(f"{stage.model}: up to date")
    return Path(stage.model)


def made(stage: Stage, quant: str, llama_cpp: str = "") -> list[Path]:
    """Return the folder of the run. Raises UserError where it is no longer what the run wrote."""
    refuse_quant("adapter", quant)
    check_run(Path(stage.model))
    return [Path(stage.model)]


def pushed(stage: Stage, quant: str) -> Pushed:
    """Return a stage's adapter. Raises UserError where nobody else has the model that it belongs on."""
    refuse_quant("adapter", quant)
    base = adapter_base(Path(stage.model))
    if base is None:
        return Pushed(model_files(Path(stage.model)), "transformers", "finetune")
    if hub_id(base) is None:
        raise UserError(
            f"{stage.model}: the adapter is on {base}, which is only on this machine; run "
            f"`make merge RECIPE={stage.recipe} STAGE={stage.name}` and push the merged model with FORMAT=merged"
        )
    return Pushed(model_files(Path(stage.model), "adapter_model.safetensors"), "peft", "adapter")
