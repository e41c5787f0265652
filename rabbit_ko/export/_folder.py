"""The folder of what an export has made, within that of its run: complete, with a record, or not there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pydantic import Field

from axolotl_plugins.run_folder import LAUNCH, hold
from rabbit_ko import storage
from rabbit_ko.documents import read_record
from rabbit_ko.errors import UnknownName, UserError
from rabbit_ko.evaluation.journal import digest
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.hashing import file_digest, source_digest
from rabbit_ko.licenses.files import carry
from rabbit_ko.run_record import FileRecord, ModelRecord, check_files, remedy, trained_files
from rabbit_ko.terminal import say

RECORD = "export.json"


class ExportRecord(ModelRecord):
    """What an export is. made_of: tells the model and prompt that it was made of. versions: of what made it."""

    made_of: str
    versions: dict[str, str] = Field(default_factory=dict)


def export_folder(stage: Stage, format: str, quant: str = "") -> Path:
    """Return the place of an export, such as `runs/smoke/dpo/export/gguf/q8_0`."""
    return Path(stage.model) / "export" / format / quant


def log_file(stage: Stage) -> Path:
    """Return the place of all that others' tools have said of a stage's exports."""
    return Path(stage.model) / "export" / "log.txt"


def made_of(stage: Stage) -> str:
    """Return what tells a stage's model and prompt from others."""
    return digest([trained_files(Path(stage.model)), stage.prompt])


def find_export(stage: Stage, format: str, quant: str = "", *, thorough: bool = True) -> tuple[Path, ExportRecord]:
    """Return the folder of an export and its record. Raises UserError unless it is this stage's, as it was made.

    thorough: read large files too, and not only their sizes.
    """
    folder = export_folder(stage, format, quant)
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder}: not exported; {remedy(folder)}")
    record = read_record(ExportRecord, folder / RECORD, remedy(folder))
    if record.made_of != made_of(stage):
        raise UserError(f"{folder}: of another model or prompt than the stage has now; {remedy(folder)}")
    check_files(folder, record, thorough=thorough)
    return folder, record


def is_current(stage: Stage, format: str, quant: str, versions: dict[str, str]) -> bool:
    """Tell, and say, whether an export is up to date: complete, of the stage, made by these versions and this code.

    One that is not is made again where it is asked for; it is what it was, so that it can be used until then.
    """
    try:
        folder, record = find_export(stage, format, quant)
    except UserError:
        return False
    if is_up_to_date := record.versions == _and_code(versions):
        say(f"{folder}: up to date")
    return is_up_to_date


def refuse_quant(format: str, quant: str) -> None:
    """Raise UnknownName where a format that stores weights in one way is asked for another."""
    if quant:
        raise UnknownName(f"QUANT={quant}: FORMAT={format} has no such choice; QUANT is of gguf and gguf-lora")


def check_room(folder: Path, needed: int, instead: str = "") -> None:
    """Raise UserError where fewer bytes are free than an export takes. instead: what else one may do."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder.parent}: {free / 2**30:.1f} GiB are free, and the export takes {needed / 2**30:.1f} GiB; free "
            f"some (`rabbit doctor` counts){instead}"
        )


@contextmanager
def making(folder: Path, stage: Stage, versions: dict[str, str]) -> Iterator[Path]:
    """Give an empty folder to write an export into, which takes the place of `folder` when all of it is there.

    What exports that were killed have left is removed. Raises UserError where something else works on the run, or
    where a link leads out of its folder.
    """
    storage.check_inside(folder, Path(stage.model))
    with hold(Path(stage.model), LAUNCH):
        for left in [*(Path(stage.model) / "export").rglob(f".*-{'[0-9a-f]' * 32}")]:
            shutil.rmtree(left, ignore_errors=True)
        partial, old = (folder.with_name(f".{folder.name}-{uuid4().hex}") for _ in range(2))
        partial.mkdir(parents=True)
        try:
            yield partial
            for line in carry(Path(stage.model), partial):
                say(line)
            storage.make_readable(partial)
            record = ExportRecord(files=_describe(partial), made_of=made_of(stage), versions=_and_code(versions))
            storage.write(str(partial / RECORD), (record.model_dump_json(indent=1) + "\n").encode())
            if folder.exists():
                folder.rename(old)
            partial.rename(folder)
            say(f"{folder}: exported")
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _and_code(versions: dict[str, str]) -> dict[str, str]:
    return {**versions, "rabbit_ko.export": source_digest(Path(__file__).parent.glob("*.py"))}


def _describe(folder: Path) -> dict[str, FileRecord]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        str(file.relative_to(folder)): FileRecord(bytes=file.stat().st_size, sha256=file_digest(file))
        for file in files
    }
