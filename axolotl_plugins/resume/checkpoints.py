"""Checkpoints to resume from: a complete one has checksums of its files, and only its own run may resume from it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from axolotl_plugins.resume.identity import Identity, changes
from rabbit_ko import storage
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import LARGE, file_digest
from rabbit_ko.run_record import CHECKSUMS

PREFIX, DAMAGED = "checkpoint-", "damaged-"
# The trainer's own account of a run: in each checkpoint, and in the folder of a run that has ended.
STATE_FILE = "trainer_state.json"


class _Checksums(BaseModel, extra="forbid"):
    run: Identity
    seconds: float
    files: dict[str, str]


def mark_complete(folder: Path, identity: Identity, seconds: float) -> None:
    """Write a checkpoint's last file: which run it is of, and the checksums of its files. Raises OSError."""
    storage.make_readable(folder)
    checksums = _Checksums(run=identity, seconds=seconds, files=_digests(folder))
    storage.write(str(folder / CHECKSUMS), checksums.model_dump_json(indent=1).encode())


def find_checkpoint(output_dir: Path, identity: Identity, say: Callable[[str], None]) -> tuple[Path, float] | None:
    """Return the last complete checkpoint and its run's seconds. Raises UserError where it is of another run."""
    for checkpoint in checkpoints(output_dir):
        checksums = _read_checksums(checkpoint)
        if checksums is None:
            for earlier in output_dir.glob(f"{DAMAGED}{PREFIX}*"):
                _remove(earlier)
            aside = checkpoint.rename(checkpoint.with_name(DAMAGED + checkpoint.name))
            say(f"{checkpoint} is damaged, or of the last step, or not written to its end; set aside as {aside.name}")
        elif changed := changes(checksums.run, identity):
            raise UserError(f"{checkpoint} is of a run in which {changed}")
        else:
            return checkpoint, checksums.seconds
    return None


def checkpoints(output_dir: Path) -> list[Path]:
    """Return the folders of all checkpoints, the last one first."""
    found = [path for path in output_dir.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=lambda path: -int(path.name.removeprefix(PREFIX)))


def all_checkpoints(output_dir: Path) -> list[Path]:
    """Return the folders of all checkpoints, damaged ones too."""
    return [*checkpoints(output_dir), *output_dir.glob(f"{DAMAGED}{PREFIX}*")]


def remove_all(output_dir: Path) -> None:
    """Remove the checkpoints of a run that has ended, damaged ones too."""
    for checkpoint in all_checkpoints(output_dir):
        _remove(checkpoint)


def _remove(checkpoint: Path) -> None:
    if checkpoint.is_dir() and not checkpoint.is_symlink():
        shutil.rmtree(checkpoint)
    else:
        checkpoint.unlink()


def _read_checksums(checkpoint: Path) -> _Checksums | None:
    try:
        checksums = _Checksums.model_validate_json((checkpoint / CHECKSUMS).read_bytes())
        return checksums if checksums.files == _digests(checkpoint) else None
    except (OSError, ValueError):
        return None


def _digests(checkpoint: Path) -> dict[str, str]:
    files = sorted(file for file in checkpoint.rglob("*") if file.is_file() and file.name != CHECKSUMS)
    sizes = {file: file.stat().st_size for file in files}
    return {
        str(file.relative_to(checkpoint)): f"{size} bytes" if size > LARGE else file_digest(file)
        for file, size in sizes.items()
    }
