"""The merged model as one file for llama.cpp and Ollama, written by llama.cpp's own converter."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from rabbit_ko.errors import UnknownName, UserError, suggest
from rabbit_ko.evaluation.models import config_of, load_tokenizer
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import Pushed
from rabbit_ko.export._folder import RECORD, check_room, export_folder, find_export, is_current, log_file, making
from rabbit_ko.export._keys import Keys, check_gguf, model_keys
from rabbit_ko.export._llama_cpp import CONVERTER, LlamaCpp, find_llama_cpp, find_program
from rabbit_ko.export._modelfile import write_modelfile
from rabbit_ko.export._safetensors import stored_as
from rabbit_ko.export.merged import complete_model, merged_folder
from rabbit_ko.run_record import remedy
from rabbit_ko.terminal import say
from rabbit_ko.training.process import python, run_logged

# Bits of a weight, on the whole: what the converter writes, and what llama-quantize makes of that.
CONVERTED = {"f32": 32.0, "bf16": 16.0, "f16": 16.0, "q8_0": 8.5}
QUANTIZED = {"q6_k": 6.6, "q5_k_m": 5.7, "q4_k_m": 4.9}
QUANTS = CONVERTED | QUANTIZED


def make(stage: Stage, quant: str, llama_cpp: str) -> Path:
    """Make the file of a stage's merged model unless it is up to date; return its folder. Raises UserError."""
    check_quant(quant)
    found = find_llama_cpp(llama_cpp)
    instead = f"take QUANT=q8_0 in the place of {quant}"
    quantizer = find_program("llama-quantize", llama_cpp, instead) if quant in QUANTIZED else ""
    model = complete_model(stage)
    quant = quant or stored_as(model)
    folder = export_folder(stage, "gguf", quant)
    if is_current(stage, "gguf", quant, found.versions):
        return folder
    with making(folder, stage, found.versions) as partial:
        convert(stage, model, partial / file_name(stage, quant), quant, found, quantizer)
        if why := write_modelfile(partial, file_name(stage, quant), stage, model, load_tokenizer(stage)):
            say(why)
    return folder


def made(stage: Stage, quant: str, llama_cpp: str = "", *, thorough: bool = True) -> list[Path]:
    """Return a stage's GGUF. Raises UserError where it is not made, or is another stage's.

    thorough: read all of it, and not only its size.
    """
    quant = _exported(stage, quant)
    folder, _ = find_export(stage, "gguf", quant, thorough=thorough)
    return [folder / file_name(stage, quant)]


def pushed(stage: Stage, quant: str) -> Pushed:
    """Return a stage's GGUF and what lies beside it. Raises UserError where it is not made, or is another stage's."""
    folder, record = find_export(stage, "gguf", _exported(stage, quant))
    return Pushed({name: folder / name for name in record.files}, "gguf", "quantized")


def _exported(stage: Stage, quant: str) -> str:
    """Return which GGUF is meant: the one that is there, and of several that which is stored as the model is.

    Raises UserError where that does not say which one it is.
    """
    check_quant(quant)
    folder = export_folder(stage, "gguf")
    there = sorted(record.parent.name for record in folder.glob(f"[!.]*/{RECORD}"))
    if quant or len(there) == 1:
        return quant or there[0]
    if not there:
        raise UserError(f"{folder}: not exported; {remedy(folder)}")
    with suppress(UserError):  # it need not be merged any more
        if (stored := stored_as(merged_folder(stage))) in there:
            return stored
    raise UserError(f"{folder}: holds {', '.join(there)}; say which one with QUANT")


def file_name(stage: Stage, quant: str) -> str:
    """Return the name of a stage's GGUF within its folder."""
    return f"{stage.recipe}-{stage.name}-{quant}.gguf"


def check_quant(quant: str, known: Iterable[str] = QUANTS) -> None:
    """Raise UnknownName for a way of storing weights that is not offered."""
    if quant and quant not in known:
        raise UnknownName(f"QUANT={quant}: no way that weights are stored here{suggest(quant, known)}")


def convert(
    stage: Stage,
    model: Path,
    file: Path,
    quant: str,
    found: LlamaCpp,
    quantizer: str = "",
    keys: Keys = MappingProxyType({}),
) -> None:
    """Write a model as a GGUF with a stage's prompt. Raises UserError where that fails, or the file does not say so.

    quantizer: the program that makes those of QUANTIZED, from a file that is removed afterwards. keys: what the file
    says otherwise than that of the stage's own model.
    """
    stored = stored_as(model)
    written, bits = sum(it.stat().st_size for it in model.glob("*.safetensors")), QUANTS[quant]
    needed = int(written * (bits + (CONVERTED[stored] if quantizer else 0)) / CONVERTED[stored])
    check_room(file.parent, needed, ", or take a smaller QUANT")
    keys = {**model_keys(stage, model), **keys}
    with TemporaryDirectory(dir=file.parent, prefix="work-") as folder:
        work = Path(folder)
        first, outtype = (work / "converted.gguf", stored) if quantizer else (file, quant)
        arguments = (CONVERTER, str(model), f"--outfile={first}", f"--outtype={outtype}")
        run_converter(stage, work, found, keys, *arguments)
        if quantizer:
            _run(stage, [quantizer, str(first), str(file), quant.upper()], "quantizing", "llama-quantize")
    check_gguf(file, keys, config_of(stage))


def run_converter(stage: Stage, work: Path, found: LlamaCpp, keys: Keys, script: str, *arguments: str) -> None:
    """Run one of llama.cpp's converters, whose file gets the keys. Raises UserError with why it failed."""
    (work / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
    command = python("rabbit_ko.export._convert", str(found.folder), str(work / "keys.json"), script, *arguments)
    _run(stage, command, "converting", "llama.cpp's converter")


def _run(stage: Stage, command: list[str], doing: str, tool: str) -> None:
    try:
        run_logged(command, log_file(stage), doing, quiet=True)
    except UserError as error:
        raise UserError(f"{stage.model}: {tool} failed: {error}") from None
