"""What a build reads of a path."""

from pathlib import Path
from typing import Any

from dataset_builders.read.broken import Broken
from dataset_builders.read.formats import read_rows
from dataset_builders.read.inputs import find_input
from dataset_builders.read.location import Location


def read_all(path: Path, wanted: set[str] | None = None, work: Path | None = None) -> tuple[list[Any], list[str]]:
    """Return the rows of a path, of broken ones their reasons, and the notes."""
    found = find_input(Location(path=str(path)), str(work or path.parent / ".work"))
    rows = [row for chunk in found.chunks for row in read_rows(chunk, wanted)]
    return [row.reason if isinstance(row, Broken) else dict(row) for row in rows], found.notes


def read_bytes(folder: Path, name: str, content: bytes) -> tuple[list[Any], list[str]]:
    """Write a file and read it."""
    (folder / name).write_bytes(content)
    return read_all(folder / name)
