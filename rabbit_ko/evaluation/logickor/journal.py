"""What was answered and judged: one JSON line each, on disk before the next step, and read again after a kill."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock, Timeout

from rabbit_ko.errors import UserError

SPARE_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Journal:
    """A file of records. spare: a file whose space is for the last records when the disk is full."""

    file: Path

    @property
    def spare(self) -> Path:
        return self.file.with_name(f".{self.file.name}.spare")

    def append(self, record: dict[str, Any]) -> None:
        """Write a record, which is on disk when this returns.

        Raises UserError where it cannot be written; on a full disk it goes into the spare space first.
        """
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        try:
            _append(self.file, line)
        except OSError as error:
            if error.errno in _FULL and self.spare.exists():
                self.spare.unlink()
                _append(self.file, line)
            raise self._cannot_write(error) from None

    def records(self) -> Iterator[dict[str, Any]]:
        """Read the records; a line that a kill has torn is none."""
        if not self.file.exists():
            return
        for line in self.file.read_bytes().split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record

    @contextmanager
    def with_spare_space(self) -> Iterator[None]:
        """Hold space for the last records. Raises UserError where there is none."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            _fill(self.spare)
        except OSError as error:
            self.spare.unlink(missing_ok=True)
            raise self._cannot_write(error) from None
        try:
            yield
        finally:
            self.spare.unlink(missing_ok=True)

    def _cannot_write(self, error: OSError) -> UserError:
        kept = "what has come is kept, and the same command goes on from there"
        return UserError(f"{self.file}: {error.strerror}; {kept}")


def _fill(file: Path) -> None:
    with file.open("wb") as spare:
        # Zeros may be stored as nothing.
        spare.write(os.urandom(SPARE_BYTES))
        spare.flush()
        os.fsync(spare.fileno())


def _append(file: Path, line: bytes) -> None:
    with file.open("a+b", buffering=0) as journal:
        if journal.seek(0, os.SEEK_END):
            journal.seek(-1, os.SEEK_END)
            # A torn line must not take the next one with it.
            line = line if journal.read(1) == b"\n" else b"\n" + line
        rest = memoryview(line)
        while rest:
            rest = rest[journal.write(rest) :]
        os.fsync(journal.fileno())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second run out of a folder, which would pay for everything twice. Raises UserError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"{folder}: another run is at work here; wait for it, or end it") from None


def digest(value: Any) -> str:
    """Return a hash of anything that can be JSON."""
    return xxhash.xxh3_128_hexdigest(json.dumps(value, ensure_ascii=False, sort_keys=True).encode())
