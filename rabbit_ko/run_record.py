"""What a finished run wrote: its `run.json`, and the checksums by which its model is known to be the one it wrote."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rabbit_ko import storage
from rabbit_ko.documents import read_object, read_record
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import LARGE, file_digest, listing_digest
from rabbit_ko.recipes import RUN_FILE, RUNS

# Beside a merged model, in the words of a checkpoint's own; written last.
CHECKSUMS = "checksums.json"
# What is loaded of a model where it is there: weights, code, tokenizer and prompt. Nobody may add any to a run's.
LOADED = (
    *("*.safetensors", "*.safetensors.index.json", "*.py", "config.json", "adapter_config.json"),
    *("tokenizer_config.json", "tokenizer.json", "tokenizer.model", "vocab.*", "merges.txt", "added_tokens.json"),
    *("special_tokens_map.json", "chat_template.jinja"),
)
# A model's files, as they are recorded. Other configs, such as one for a server, may be added.
MODEL_FILES = (*LOADED, "*config.json")

# The folder of an export while it is made.
_MAKING = re.compile(r"^\.([a-z0-9_-]+)-[0-9a-f]{32}$")


class FileRecord(BaseModel):
    """A file as it was written."""

    bytes: int
    sha256: str


class ModelRecord(BaseModel):
    """The files of a model, by their names."""

    files: dict[str, FileRecord] = {}


class Dataset(BaseModel):
    """Rows that a run was trained on, and what tells them from others."""

    path: str
    fingerprint: str


class RunRecord(ModelRecord):
    """What every command reads of `run.json`; what earlier versions of this project did not write is empty."""

    config: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    versions: dict[str, str] = {}
    datasets: list[Dataset] = []
    made_of: dict[str, str] = {}


def remedy(path: Path, undo: str = "put it back") -> str:
    """Return what to do about a file or folder of a model that is no use, a command where one makes it anew.

    undo: what mends a run's, other than training anew.
    """
    place, runs = path.resolve(), RUNS.resolve()
    match place.relative_to(runs).parts if place.is_relative_to(runs) else ():
        case (recipe, "base", *_):
            return f"remove {RUNS / recipe / 'base'} and run `make sft RECIPE={recipe}`, which makes it anew"
        case (recipe, stage, "merged", *_):
            folder = RUNS / recipe / stage / "merged"
            return f"remove {folder} and run `make merge RECIPE={recipe} STAGE={stage}`"
        case (recipe, stage, "export", format, *quant):
            return f"run `make {_exporting(f'RECIPE={recipe} STAGE={stage}', format, *quant[:1])}`"
        case (recipe, stage, *_):
            return f"{undo}, or train anew: `make {stage} RECIPE={recipe} FRESH=1`"
    return "copy or download it again"


def _exporting(of: str, *place: str) -> str:
    """Return the command that makes an export, by its place among those of a stage, also before it is complete."""
    format, *quant = [_MAKING.sub(r"\1", name) for name in place]
    stored = f" QUANT={quant[0]}" if quant and format.startswith("gguf") else ""
    if format == "gguf-lora-base":
        return f"parity {of} AGAINST=gguf-lora{stored}"
    return f"export {of} FORMAT={format}{stored}"


def read_run(folder: Path) -> RunRecord:
    """Return what a finished run wrote of itself. Raises UserError where `run.json` is no use."""
    return read_record(RunRecord, folder / RUN_FILE, remedy(folder))


def trained_files(folder: Path) -> str:
    """Return what tells a finished run's model from that of another run, by its record alone; empty without a run."""
    if not (folder / RUN_FILE).exists():
        return ""
    return listing_digest((name, file.sha256) for name, file in sorted(read_run(folder).files.items()))


def text_at(file: Path, value: Any, *keys: str | int) -> str:
    """Return the text at a place within a JSON value of a file. Raises UserError where there is none."""
    for key in keys:
        try:
            value = value[key]
        except (LookupError, TypeError):
            value = None
    if not isinstance(value, str) or not value:
        raise UserError(f"{file}: {'.'.join(map(str, keys))}: missing, or no text; {remedy(file.parent)}")
    return value


def model_files(folder: Path, patterns: Iterable[str] = MODEL_FILES) -> list[Path]:
    """Return the files of the model in a folder, sorted by name."""
    return sorted({file for pattern in patterns for file in folder.glob(pattern)})


def describe_files(folder: Path) -> dict[str, FileRecord]:
    """Return the sizes and checksums of the model in a folder. Raises OSError."""
    return {
        file.name: FileRecord(bytes=file.stat().st_size, sha256=file_digest(file)) for file in model_files(folder)
    }


def write_checksums(folder: Path) -> None:
    """Write beside a model that is complete what its files are. Raises OSError."""
    record = ModelRecord(files=describe_files(folder))
    storage.write(str(folder / CHECKSUMS), (record.model_dump_json(indent=1) + "\n").encode())


def check_files(folder: Path, record: ModelRecord, *, thorough: bool = True) -> None:
    """Raise UserError where a model is no longer what was written; a record without files says nothing of it.

    thorough: read large weights too, which takes seconds a gigabyte; otherwise only their size counts.
    """
    if changed := next(_changes(folder, record, thorough), None):
        name, said, undo = changed
        raise UserError(f"{folder / name}: {said}; {remedy(folder, undo)}")


def _changes(folder: Path, record: ModelRecord, thorough: bool) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each file that is not as it was written, what is wrong with it, and what undoes that."""
    for name, written in sorted(record.files.items()):
        file = folder / name
        if not file.is_file():
            yield name, "is missing, or no file", "put it back"
        elif file.stat().st_size != written.bytes:
            said = f"has {file.stat().st_size:,} bytes, and its run wrote {written.bytes:,}"
            yield name, said, "put it back"
        elif (thorough or written.bytes <= LARGE) and file_digest(file) != written.sha256:
            yield name, "is not what its run wrote, by its checksum", "put it back"
    if record.files:
        for file in model_files(folder, LOADED):
            if file.name not in record.files:
                yield file.name, "was not written by its run", "take it away"


def check_run(folder: Path, *, thorough: bool = True) -> RunRecord:
    """Return a run's record. Raises UserError where it, or the model in its folder, is not what the run wrote."""
    record = read_run(folder)
    check_files(folder, record, thorough=thorough)
    return record


def is_as_merged(folder: Path, run: Path, *, thorough: bool) -> bool:
    """Tell whether a merged model is what was written when its run was merged.

    One without checksums, of an earlier version or of axolotl's own command, is, where it has its tokenizer's files.
    """
    last = [name for name in ("tokenizer.json", "tokenizer.model") if (run / name).exists()]
    try:
        if (folder / CHECKSUMS).exists():
            check_files(folder, read_record(ModelRecord, folder / CHECKSUMS), thorough=thorough)
        elif (folder / "tokenizer.json").exists():
            read_object(folder / "tokenizer.json")
    except (UserError, OSError):
        return False
    return all((folder / name).is_file() for name in last)
