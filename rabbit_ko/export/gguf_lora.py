"""The adapter alone as a GGUF, which llama.cpp adds to a GGUF of its base, by llama.cpp's own converter."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import snapshot_download
from safetensors import safe_open

from axolotl_plugins.checks.model_files import ADAPTER, ADAPTER_CONFIG, loading
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.stages import Stage, adapter_base
from rabbit_ko.export import Pushed
from rabbit_ko.export._folder import export_folder, find_export, is_current, making
from rabbit_ko.export._keys import TRAINED_FILES, Keys, check_gguf, identity
from rabbit_ko.export._llama_cpp import LORA_CONVERTER, find_llama_cpp
from rabbit_ko.export._safetensors import stored_as
from rabbit_ko.export.gguf import CONVERTED, check_quant, convert, run_converter
from rabbit_ko.run_record import check_run, remedy

ALPHA = "adapter.lora.alpha"


def make(stage: Stage, quant: str, llama_cpp: str) -> Path:
    """Make the file of a stage's adapter unless it is up to date; return its folder. Raises UserError."""
    check_quant(quant, CONVERTED)
    found, run = find_llama_cpp(llama_cpp), Path(stage.model)
    check_run(run)
    base, quant = _base(stage, ["config.json"]), quant or stored_as(run, ADAPTER)
    keys = {**identity(stage), **_scale(run)}
    folder = export_folder(stage, "gguf-lora", quant)
    if is_current(stage, "gguf-lora", quant, found.versions):
        return folder
    with making(folder, stage, found.versions) as partial:
        file = partial / file_name(stage, quant)
        arguments = (LORA_CONVERTER, str(run), f"--base={base}", f"--outfile={file}", f"--outtype={quant}")
        with TemporaryDirectory(dir=partial, prefix="work-") as work:
            run_converter(stage, Path(work), found, keys, *arguments)
        check_gguf(file, identity(stage))
    return folder


def base_gguf(stage: Stage, quant: str, llama_cpp: str) -> Path:
    """Return the GGUF of what a stage's adapter is on, with the stage's prompt, made unless it is up to date.

    It says that it is the base of the stage, and no stage's own model. Raises UserError.
    """
    check_quant(quant, CONVERTED)
    found = find_llama_cpp(llama_cpp)
    base = _base(stage, ["*.json", "*.safetensors", "*.jinja", "tokenizer.model"])
    quant = quant or stored_as(base)
    file = export_folder(stage, "gguf-lora-base", quant) / f"{stage.recipe}-{stage.name}-base-{quant}.gguf"
    if not is_current(stage, "gguf-lora-base", quant, found.versions):
        named: Keys = {"general.name": f"{stage.recipe} {stage.name} base", TRAINED_FILES: "of its base"}
        with making(file.parent, stage, found.versions) as partial:
            convert(stage, base, partial / file.name, quant, found, keys=named)
    return file


def made(stage: Stage, quant: str, llama_cpp: str = "") -> list[Path]:
    """Return the GGUF of what a stage's adapter is on, made where it is not there, and that of the adapter.

    Raises UserError where the latter is not made, or is another stage's.
    """
    files = pushed(stage, quant).files
    [adapter] = [file for file in files.values() if isinstance(file, Path) and file.suffix == ".gguf"]
    return [base_gguf(stage, quant, llama_cpp), adapter]


def pushed(stage: Stage, quant: str) -> Pushed:
    """Return a stage's GGUF adapter. Raises UserError where it is not made, or is another stage's."""
    check_quant(quant, CONVERTED)
    folder, record = find_export(stage, "gguf-lora", quant or stored_as(Path(stage.model), ADAPTER))
    return Pushed({name: folder / name for name in record.files}, "gguf", "adapter")


def file_name(stage: Stage, quant: str) -> str:
    """Return the name of a stage's adapter within its folder."""
    return f"{stage.recipe}-{stage.name}-lora-{quant}.gguf"


def _base(stage: Stage, files: list[str]) -> Path:
    """Return the folder of what a stage's adapter is on, downloaded where it is on the hub. Raises UserError."""
    base = adapter_base(Path(stage.model))
    if base is None:
        raise UserError(f"{stage.model}: holds no adapter, since all weights were trained; export FORMAT=gguf")
    if Path(base).is_dir():
        return Path(base)
    try:
        return Path(snapshot_download(base, allow_patterns=files))
    except Exception as error:  # the network's, the hub's, or a folder that is gone
        raise UserError(f"{stage.model}: the adapter is on {base}, which is not to be had: {reason(error)}") from None


def _scale(run: Path) -> Keys:
    """Return the scale of an adapter as llama.cpp has it, alpha over the rank. Raises UserError where it has no such.

    Its converter takes alpha as it is, also where peft divides it by the rank's root (`use_rslora`).
    """
    file = run / ADAPTER_CONFIG
    config = read_object(file, remedy(run))
    with loading(f"{run / ADAPTER}: damaged or cut", run), safe_open(run / ADAPTER, "np") as weights:
        names = weights.keys()
    if others := sorted(name for name in names if ".lora_A." not in name and ".lora_B." not in name):
        raise UserError(
            f"{run / ADAPTER}: holds {others[0]}, which a GGUF adapter cannot, as whole embeddings where a token was "
            "added in training; export FORMAT=gguf"
        )
    if config.get("alpha_pattern"):
        raise UserError(f"{file}: alpha_pattern: llama.cpp scales all layers alike; export FORMAT=gguf")
    return {ALPHA: _number(file, config, "lora_alpha") * (_root(file, config) if config.get("use_rslora") else 1.0)}


def _root(file: Path, config: dict[str, Any]) -> float:
    if config.get("rank_pattern"):
        raise UserError(f"{file}: rank_pattern with use_rslora: llama.cpp scales otherwise; export FORMAT=gguf")
    return math.sqrt(_number(file, config, "r"))


def _number(file: Path, config: dict[str, Any], key: str) -> float:
    if not isinstance(config.get(key), int | float):
        raise UserError(f"{file}: {key}: missing, or no number; {remedy(file.parent)}")
    return float(config[key])
