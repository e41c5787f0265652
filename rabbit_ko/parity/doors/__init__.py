"""What a stage's model is reached through: transformers, llama.cpp, or any OpenAI-compatible server."""

from collections.abc import Iterator
from pathlib import Path

from axolotl_plugins.checks.model_files import ADAPTER_CONFIG
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UnknownName, UserError, suggest
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.models import context_of
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import FORMATS, find_format
from rabbit_ko.export._keys import TRAINED_FILES, read_gguf
from rabbit_ko.export._safetensors import stored_as
from rabbit_ko.parity.answers import Door
from rabbit_ko.parity.doors.llama_cpp import LlamaCppDoor
from rabbit_ko.parity.doors.server import ServerDoor
from rabbit_ko.parity.doors.transformers import TransformersDoor
from rabbit_ko.parity.verdict import BOUNDS
from rabbit_ko.run_record import remedy, trained_files
from rabbit_ko.secrets import hide

# As compressed-tensors names it.
GGUF, FP8 = ".gguf", "float-quantized"
# How weights are stored, as general.file_type has it.
FILE_TYPES = {0: "f32", 1: "f16", 7: "q8_0", 15: "q4_k_m", 17: "q5_k_m", 18: "q6_k", 32: "bf16"}


def find_doors(stage: Stage, against: str, quant: str, llama_cpp: str, log: Path) -> list[Door]:
    """Return a door at its most exact setting, and behind it at that which people use, where that is another one.

    against: a format, a folder of a model, or a GGUF. log: of a server that is started. Raises UserError where there
    is no such thing, or where an export is not of this stage, or not as it was made.
    """
    if against in FORMATS:
        place, *lora = find_format(against).made(stage, quant, llama_cpp)
    elif not Path(against).exists():
        raise UnknownName(f"AGAINST={against}: no URL, no folder, no file and no format{suggest(against, FORMATS)}")
    elif quant:
        raise UnknownName(f"QUANT={quant}: AGAINST={against} says itself how its weights are stored")
    else:
        place, lora = Path(against), []
    name = against if against in FORMATS else place.name
    if place.suffix != GGUF:
        return [*_transformers(stage, name, place)]
    stored, adapter = _stored(place), next(iter(lora), None)
    _check_own(stage, adapter or place)
    # By its own settings llama.cpp keeps keys and values in 16 bits, whatever the weights are in.
    settings = {"exact": (True, stored), "as served": (False, "f16" if stored == "f32" else stored)}
    return [
        LlamaCppDoor(f"{name} {stored}, {how}", place, bound, context_of(stage), log, exact, adapter, llama_cpp)
        for how, (exact, bound) in settings.items()
    ]


def server_door(server: Endpoint, quant: str) -> ServerDoor:
    """Return a server as a door. quant: how its weights are stored, bf16 where it is empty. Raises UnknownName."""
    if quant and quant not in BOUNDS:
        raise UnknownName(f"QUANT={quant}: no way in which weights are stored{suggest(quant, BOUNDS)}")
    return ServerDoor(f"server {hide(Path(server.model).name)}", server, quant or "bf16")


def _stored(file: Path) -> str:
    """Return how a GGUF's weights are stored. Raises UserError where it is none, or another way."""
    number = read_gguf(file).get("general.file_type")
    if number not in FILE_TYPES:
        raise UserError(f"{file}: general.file_type is {number}; known are those of {', '.join(FILE_TYPES.values())}")
    return FILE_TYPES[number]


def _check_own(stage: Stage, file: Path) -> None:
    """Raise UserError where a GGUF says that it is of another run; one made elsewhere does not say."""
    said, own = read_gguf(file), trained_files(Path(stage.model))
    if said.get(TRAINED_FILES, own) != own:
        raise UserError(f"{file}: of another run than {stage.model}: {said.get('general.name')}; export it again")


def _transformers(stage: Stage, name: str, folder: Path) -> Iterator[Door]:
    adapter, config = folder / ADAPTER_CONFIG, folder / "config.json"
    if not (adapter.is_file() or config.is_file()):
        raise UserError(f"AGAINST={name}: neither a folder of a model nor a {GGUF} file")
    said = read_object(config, remedy(folder)) if config.is_file() else {}
    if quantized := said.get("quantization_config"):
        if quantized.get("format") != FP8:
            raise UserError(f"{folder}: its weights are stored as {quantized.get('format')}; known is {FP8} alone")
        yield TransformersDoor(f"{name}, as served", folder, "fp8", "auto", stage.trusted)
        return
    yield TransformersDoor(f"{name} f32, exact", folder, "f32", "float32", stage.trusted)
    if not adapter.is_file() and (stored := stored_as(folder)) != "f32":
        yield TransformersDoor(f"{name} {stored}, as served", folder, stored, "auto", stage.trusted)
