"""Checkpoints to go on from: sealed when they are whole, and only for the run that they are of."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from axolotl_plugins.resume.identity import Identity, changes
from rabbit_ko import storage

PREFIX, SEAL, DAMAGED = "checkpoint-", "whole.json", "damaged-"
# The trainer's own account of a run: in each checkpoint, and in the folder of a run that has ended.
STATE_FILE = "trainer_state.json"
# Reading a full checkpoint of a large model would hold up its run for minutes: of larger files, only the size counts.
LARGE = 4 << 30


class OtherRun(Exception):
    """A checkpoint of a run that is not this one; the message says what has changed."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, and the seconds that its run had taken until then."""

    folder: Path
    seconds: float


def seal(folder: Path, identity: Identity, seconds: float) -> None:
    """Write, as its last file, what a checkpoint holds and which run it is of. Raises OSError."""
    sealed = {"run": identity, "seconds": seconds, "files": _digests(folder)}
    text = json.dumps(sealed, ensure_ascii=False, indent=1)
    storage.write(str(folder / SEAL), text.encode())


def find_checkpoint(output_dir: Path, identity: Identity, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the last whole checkpoint that leaves a step to take; damaged ones are set aside, and said.

    Raises OtherRun where it is of a run with another identity.
    """
    for checkpoint in checkpoints(output_dir):
        sealed = _read_seal(checkpoint)
        if sealed is None or sealed["files"] != _digests(checkpoint):
            _set_aside(checkpoint, say)
        elif changed := changes(sealed["run"], identity):
            raise OtherRun(f"{checkpoint} is of a run in which {changed}")
        elif _is_of_the_last_step(checkpoint):
            # Transformers would take one step more than there are from it.
            shutil.rmtree(checkpoint)
            say(f"{checkpoint} leaves no step to take, so it is removed, and the one before it counts")
        else:
            return Checkpoint(checkpoint, sealed["seconds"])
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


def _read_seal(checkpoint: Path) -> dict[str, Any] | None:
    try:
        sealed = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return sealed if isinstance(sealed, dict) and sealed.keys() == {"run", "seconds", "files"} else None


def _is_of_the_last_step(checkpoint: Path) -> bool:
    if not (checkpoint / STATE_FILE).exists():
        return False
    state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    return bool(state["global_step"] >= state["max_steps"])


def _digests(checkpoint: Path) -> dict[str, str]:
    files = sorted(file for file in checkpoint.rglob("*") if file.is_file() and file.name != SEAL)
    return {str(file.relative_to(checkpoint)): _digest(file) for file in files}


def _digest(file: Path) -> str:
    if (size := file.stat().st_size) > LARGE:
        return f"{size} bytes"
    digest = xxhash.xxh3_128()
    with file.open("rb") as content:
        while block := content.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def _set_aside(checkpoint: Path, say: Callable[[str], None]) -> None:
    for earlier in checkpoint.parent.glob(f"{DAMAGED}{PREFIX}*"):
        shutil.rmtree(earlier)
    aside = checkpoint.with_name(DAMAGED + checkpoint.name)
    checkpoint.rename(aside)
    say(f"{checkpoint} is damaged or was not written to its end; it is set aside as {aside.name}")
