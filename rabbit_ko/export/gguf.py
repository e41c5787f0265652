"""The merged model as one file for llama.cpp and Ollama, written by llama.cpp's own converter."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rabbit_ko.documents import read_object
from rabbit_ko.errors import UnknownName, UserError, suggest
from rabbit_ko.evaluation.models import context_of
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import Pushed
from rabbit_ko.export._folder import check_room, export_folder, find_export, is_current, making
from rabbit_ko.export._keys import Keys, check_gguf, model_keys
from rabbit_ko.export._llama_cpp import CONVERTER, LlamaCpp, find_llama_cpp, find_quantizer
from rabbit_ko.export.merged import complete_model, merged_folder
from rabbit_ko.run_record import remedy
from rabbit_ko.training.process import python, run_logged

# Bits of a weight, on the whole: what the converter writes, and what llama-quantize makes of that.
CONVERTED = {"f32": 32.0, "bf16": 16.0, "f16": 16.0, "q8_0": 8.5}
QUANTIZED = {"q6_k": 6.6, "q5_k_m": 5.7, "q4_k_m": 4.9}
QUANTS = CONVERTED | QUANTIZED
STORED = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def make(stage: Stage, quant: str, llama_cpp: str) -> Path:
    """Make the file of a stage's merged model unless it is up to date; return its folder. Raises UserError."""
    check_quant(quant)
    found = find_llama_cpp(llama_cpp)
    quantizer = find_quantizer(quant, llama_cpp) if quant in QUANTIZED else ""
    model = complete_model(stage)
    quant = quant or stored_as(model)
    folder = export_folder(stage, "gguf", quant)
    if is_current(stage, "gguf", quant, found.versions):
        return folder
    with making(folder, stage, found.versions) as partial:
        convert(stage, model, partial / file_name(stage, quant), quant, found, quantizer)
    return folder


def pushed(stage: Stage, quant: str) -> Pushed:
    """Return a stage's GGUF and what lies beside it. Raises UserError where it is not made, or is another stage's."""
    check_quant(quant)
    folder, record = find_export(stage, "gguf", quant or stored_as(merged_folder(stage)))
    return Pushed({name: folder / name for name in record.files}, "gguf", "quantized")


def file_name(stage: Stage, quant: str) -> str:
    """Return the name of a stage's GGUF within its folder."""
    return f"{stage.recipe}-{stage.name}-{quant}.gguf"


def check_quant(quant: str) -> None:
    """Raise UnknownName for a way of storing weights that is not offered."""
    if quant and quant not in QUANTS:
        raise UnknownName(f"QUANT={quant}: no way that weights are stored here{suggest(quant, QUANTS)}")


def stored_as(model: Path) -> str:
    """Return how the weights of a model are stored, by llama.cpp's name. Raises UserError where that is not known."""
    config = read_object(model / "config.json", remedy(model))
    dtype = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.")
    if dtype not in STORED:
        raise UserError(f"{model / 'config.json'}: dtype: {dtype[:40]}; say QUANT={' or '.join(STORED.values())}")
    return STORED[dtype]


def convert(stage: Stage, model: Path, file: Path, quant: str, found: LlamaCpp, quantizer: str = "") -> None:
    """Write a model of a stage as a GGUF. Raises UserError where it cannot be, or is not what it has to be.

    quantizer: the program that makes those of QUANTIZED, from a file that is removed afterwards.
    """
    stored = stored_as(model)
    written, bits = sum(it.stat().st_size for it in model.glob("*.safetensors")), QUANTS[quant]
    check_room(file.parent, int(written * (bits + (CONVERTED[stored] if quantizer else 0)) / CONVERTED[stored]))
    keys = model_keys(stage, model)
    with working(file.parent) as work:
        first, outtype = (work / "converted.gguf", stored) if quantizer else (file, quant)
        arguments = (CONVERTER, str(model), f"--outfile={first}", f"--outtype={outtype}")
        run_converter(stage, work, found, keys, *arguments)
        if quantizer:
            run_logged([quantizer, str(first), str(file), quant.upper()], log_file(stage), "quantizing", quiet=True)
    check_gguf(file, keys, context_of(stage))


@contextmanager
def working(folder: Path) -> Iterator[Path]:
    """Give a folder for what is not exported, which is removed afterwards."""
    work = folder / "work"
    work.mkdir()
    yield work
    shutil.rmtree(work)


def run_converter(stage: Stage, work: Path, found: LlamaCpp, keys: Keys, script: str, *arguments: str) -> None:
    """Run one of llama.cpp's converters, whose file gets the keys. Raises UserError with why it failed."""
    (work / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
    command = python("rabbit_ko.export._convert", str(found.folder), str(work / "keys.json"), script, *arguments)
    try:
        run_logged(command, log_file(stage), "converting", quiet=True)
    except UserError as error:
        raise UserError(f"{stage.model}: llama.cpp's converter failed: {error}") from None


def log_file(stage: Stage) -> Path:
    """Return the place of all that llama.cpp has said of a stage's exports."""
    return Path(stage.model) / "export" / "log.txt"
