"""Checkpoints to resume from: a complete one has checksums of its files, and only its own run may resume from it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from axolotl_plugins.resume.identity import Identity, changes
from rabbit_ko import storage
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import file_digest

PREFIX, CHECKSUMS, DAMAGED = "checkpoint-", "checksums.json", "damaged-"
# What earlier versions called the file of checksums.
EARLIER = "whole.json"
# The trainer's own account of a run: in each checkpoint, and in the folder of a run that has ended.
STATE_FILE = "trainer_state.json"
# Reading a full checkpoint of a large model would hold up its run for minutes: of larger files, only the size counts.
LARGE = 4 << 30


class OtherRun(UserError):
    """A checkpoint of a run that is not this one; the message says what has changed."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint, and the seconds that its run had taken until then."""

    folder: Path
    seconds: float


class _Checksums(BaseModel, extra="forbid"):
    run: Identity
    seconds: float
    files: dict[str, str]


def mark_complete(folder: Path, identity: Identity, seconds: float) -> None:
    """Write a checkpoint's last file: which run it is of, and the checksums of its files. Raises OSError."""
    checksums = _Checksums(run=identity, seconds=seconds, files=_digests(folder))
    storage.write(str(folder / CHECKSUMS), checksums.model_dump_json(indent=1).encode())


def find_checkpoint(output_dir: Path, identity: Identity, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the last complete checkpoint that leaves a step to take; damaged ones are set aside, and said.

    Raises OtherRun where it is of a run with another identity.
    """
    for checkpoint in checkpoints(output_dir):
        if (checkpoint / EARLIER).exists():
            raise OtherRun(
                f"{checkpoint} is of an earlier version of this project, whose code for prompts was another"
            )
        checksums = _read_checksums(checkpoint)
        if checksums is None or checksums.files != _digests(checkpoint):
            _set_aside(checkpoint, say)
        elif changed := changes(checksums.run, identity):
            raise OtherRun(f"{checkpoint} is of a run in which {changed}")
        elif _is_of_the_last_step(checkpoint):
            # Transformers would take one step more than there are from it.
            shutil.rmtree(checkpoint)
            say(f"{checkpoint} leaves no step to take, so it is removed, and the one before it counts")
        else:
            return Checkpoint(checkpoint, checksums.seconds)
    return None


def checkpoints(output_dir: Path) -> list[Path]:
    """Return the folders of all checkpoints, the last one first."""
    found = [path for path in output_dir.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=lambda path: -int(path.name.removeprefix(PREFIX)))


def remove_all(output_dir: Path) -> int:
    """Remove the checkpoints of a run that has ended, damaged ones too, and return how many there were."""
    found = checkpoints(output_dir)
    for checkpoint in (*found, *output_dir.glob(f"{DAMAGED}{PREFIX}*")):
        shutil.rmtree(checkpoint)
    return len(found)


def _read_checksums(checkpoint: Path) -> _Checksums | None:
    try:
        return _Checksums.model_validate_json((checkpoint / CHECKSUMS).read_bytes())
    except (OSError, ValueError):
        return None


def _is_of_the_last_step(checkpoint: Path) -> bool:
    if not (checkpoint / STATE_FILE).exists():
        return False
    state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    return bool(state["global_step"] >= state["max_steps"])


def _digests(checkpoint: Path) -> dict[str, str]:
    files = sorted(file for file in checkpoint.rglob("*") if file.is_file() and file.name != CHECKSUMS)
    return {str(file.relative_to(checkpoint)): _digest(file) for file in files}


def _digest(file: Path) -> str:
    size = file.stat().st_size
    return f"{size} bytes" if size > LARGE else file_digest(file)


def _set_aside(checkpoint: Path, say: Callable[[str], None]) -> None:
    for earlier in checkpoint.parent.glob(f"{DAMAGED}{PREFIX}*"):
        shutil.rmtree(earlier)
    aside = checkpoint.rename(checkpoint.with_name(DAMAGED + checkpoint.name))
    say(f"{checkpoint} is damaged or was not written to its end; it is set aside as {aside.name}")
