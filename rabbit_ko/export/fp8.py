"""The merged model with weights in FP8, for vLLM and transformers, by llm-compressor, without data and without a GPU.

Its needs and axolotl's exclude each other (accelerate), so it has an environment of its own.
"""

from importlib.util import find_spec
from pathlib import Path

from axolotl_plugins.portable import make_portable
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import Pushed
from rabbit_ko.export._folder import (
    check_room,
    export_folder,
    find_export,
    is_current,
    log_file,
    making,
    refuse_quant,
)
from rabbit_ko.export._safetensors import model_files
from rabbit_ko.export.merged import merged_folder
from rabbit_ko.hashing import versions
from rabbit_ko.training.process import python, run_logged

PACKAGES = ("llmcompressor", "compressed-tensors", "transformers", "torch")


def make(stage: Stage, quant: str, llama_cpp: str) -> Path:
    """Make the FP8 model of a merged stage unless it is up to date; return its folder. Raises UserError."""
    refuse_quant("fp8", quant)
    if find_spec("llmcompressor") is None:
        raise UserError(
            "FORMAT=fp8: llm-compressor is not installed here, and cannot be beside axolotl; give it an environment: "
            "`python3 -m venv .venv-fp8`, `.venv-fp8/bin/pip install -e '.[fp8]'`, then `.venv-fp8/bin/rabbit export "
            f"--recipe {stage.recipe} --stage {stage.name} --format fp8`"
        )
    model, folder, made_by = merged_folder(stage), export_folder(stage, "fp8"), versions(PACKAGES)
    if is_current(stage, "fp8", "", made_by):
        return folder
    with making(folder, stage, made_by) as partial:
        check_room(partial, sum(file.stat().st_size for file in model.glob("*.safetensors")))
        trust = "trusted" if stage.trusted else "plain"
        command = python("rabbit_ko.export._compress", str(model), str(partial), trust)
        run_logged(command, log_file(stage), "compressing", quiet=True)
        if "quantization_config" not in read_object(partial / "config.json"):
            raise UserError(f"{model}: llm-compressor has compressed nothing of it; its log is {log_file(stage)}")
        make_portable(partial)
    return folder


def made(stage: Stage, quant: str, llama_cpp: str = "") -> list[Path]:
    """Return the folder of a stage's FP8 model. Raises UserError where it is not made, or no longer what was made."""
    refuse_quant("fp8", quant)
    return [find_export(stage, "fp8")[0]]


def pushed(stage: Stage, quant: str) -> Pushed:
    """Return a stage's FP8 model. Raises UserError where it is not made, or no longer what was made."""
    refuse_quant("fp8", quant)
    folder, _ = find_export(stage, "fp8")
    return Pushed(model_files(folder), "transformers", "quantized")
