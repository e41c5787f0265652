"""What was answered and judged so far: one JSON line each, on disk before the next step, and read after a kill."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock, Timeout

from rabbit_ko.documents import GRANT, regular
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import KEEPS


def append(journal: Path, record: dict[str, Any]) -> None:
    """Write a record, which is on disk when this returns. Raises UserError where it cannot be written."""
    line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    journal.parent.mkdir(parents=True, exist_ok=True)
    try:
        with journal.open("a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                # A torn line must not take the next one with it.
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{journal}: {error.strerror}; {KEEPS}") from None


def mend(journal: Path) -> None:
    """Cut off what a kill has left of a line at the end. Raises UserError where it cannot be written."""
    try:
        content = regular(journal).read_bytes() if journal.exists() else b""
        if torn := content.rpartition(b"\n")[2]:
            with journal.open("r+b") as file:
                if not _is_json(torn):
                    file.truncate(len(content) - len(torn))
                elif file.seek(0, os.SEEK_END):
                    file.write(b"\n")
    except OSError as error:
        raise UserError(f"{journal}: {error.strerror}; {KEEPS}") from None


def _is_json(line: bytes) -> bool:
    try:
        return json.loads(line) is not None
    except (ValueError, RecursionError):
        return False


def records(journal: Path, **kinds: type) -> Iterator[dict[str, Any]]:
    """Read the records that have values of these kinds; a line that a kill has torn is none.

    Raises UserError where there is no file that can be read.
    """
    for line in _lines(journal) if journal.exists() else ():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and all(isinstance(record.get(key), kind) for key, kind in kinds.items()):
            yield record


def _lines(journal: Path) -> Iterator[bytes]:
    try:
        with regular(journal).open("rb") as file:
            yield from file
    except OSError as error:
        said = "take it away, and what it held is asked for again"
        raise UserError(f"{journal}: {error.strerror}; {said}") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second run out of a folder, which would pay for everything twice. Raises UserError, OSError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            yield
    except PermissionError:
        raise UserError(f"{folder}: this user may not write there; {GRANT}") from None
    except Timeout:
        raise UserError(f"{folder}: another run is at work here; wait for it, or end it") from None


def digest(value: Any) -> str:
    """Return a hash of anything that can be JSON."""
    return xxhash.xxh3_128_hexdigest(json.dumps(value, ensure_ascii=False, sort_keys=True).encode())
