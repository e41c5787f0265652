"""A source's files, cut into parts: the pieces of work that are done, and after an interruption not done again."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem, is_url

PART_BYTES = 8 << 20
PART_ROWS = 10_000
SUFFIXES = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class Part:
    """Lines of a file by their bytes [start, end), or rows [start, end) of a parquet file.

    `content` is a hash of the lines, or of the whole parquet file.
    `before` is the number of lines in front of it, `lines` that of its own; `header` is a CSV file's first line.
    """

    path: str
    content: str
    start: int
    end: int
    before: int = 0
    lines: int = 0
    header: bytes = b""

    @property
    def is_first(self) -> bool:
        """Whether the file starts with this part."""
        return self.start <= len(self.header)

    @property
    def suffix(self) -> str:
        return _suffix(self.path)


@dataclass(frozen=True)
class InputFile:
    """A file, and the hash and the size of its content."""

    path: str
    sha256: str
    bytes: int


def input_files(path: str) -> list[str]:
    """Return the readable files of a path or URL, a file or a folder, sorted.

    Raises UserError where there is none.
    """
    fs, name = filesystem(path)
    if not fs.exists(name):
        raise UserError(f"{path}: no such file or folder")
    names, root = (sorted(fs.find(name)), name) if fs.isdir(name) else ([name], name.rpartition("/")[0])
    below = [(name, PurePosixPath(name[len(root) :])) for name in names]
    files = [name for name, path in below if path.suffix.lower() in SUFFIXES and not _is_hidden(path)]
    if not files:
        raise UserError(f"{path}: nothing to read; a file, or a folder of files, must be {', '.join(SUFFIXES)}")
    if is_url(path):
        return [fs.unstrip_protocol(name) for name in files]
    # As the user wrote it: relative stays relative.
    given = Path(path).expanduser()
    return [
        str(given / Path(name).relative_to(given.absolute())) if fs.isdir(str(given)) else str(given)
        for name in files
    ]


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def cut(path: str, done: list[InputFile]) -> Iterator[Part]:
    """Yield a file's parts while it is read, and when that is done, add its hash to `done`.

    Raises UserError where it is a broken parquet file.
    """
    fs, name = filesystem(path)
    with fs.open(name, "rb") as file:
        yield from (_cut_parquet if _suffix(path) == ".parquet" else _cut_lines)(path, file, done)


def _cut_parquet(path: str, file: IO[bytes], done: list[InputFile]) -> Iterator[Part]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(PART_BYTES):
        digest.update(chunk)
        size += len(chunk)
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: broken parquet file: {reason(error)}") from None
    names = parquet.schema_arrow.names
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path}: two columns are called `{twice[0]}`; rename one")
    done.append(InputFile(path, digest.hexdigest(), size))
    rows = parquet.metadata.num_rows
    for start in range(0, rows, PART_ROWS):
        yield Part(path, digest.hexdigest(), start, min(start + PART_ROWS, rows))


def _cut_lines(path: str, file: IO[bytes], done: list[InputFile]) -> Iterator[Part]:
    is_csv = _suffix(path) == ".csv"
    digest = hashlib.sha256()
    header = b""
    start = before = 0
    for piece in _pieces(file, quoted=is_csv):
        digest.update(piece)
        content = xxhash.xxh3_128_hexdigest(piece)
        end, lines = start + len(piece), piece.count(b"\n") + (not piece.endswith(b"\n"))
        if is_csv and not header:
            header = _first_line(piece)
            yield Part(path, content, len(header), end, 1, lines - 1, header)
        else:
            yield Part(path, content, start, end, before, lines, header)
        start, before = end, before + lines
    done.append(InputFile(path, digest.hexdigest(), start))


def _first_line(piece: bytes) -> bytes:
    """Return a CSV file's first line, in which a line break between quotes is none."""
    end = piece.find(b"\n") + 1
    while end and piece.count(b'"', 0, end) % 2:
        end = piece.find(b"\n", end) + 1
    return piece[:end] or piece


def _pieces(file: IO[bytes], quoted: bool) -> Iterator[bytes]:
    """Read a file in pieces of some size that end with a line; a line break between quotes is none."""
    while piece := file.read(PART_BYTES):
        lines = [piece, file.readline()]
        quotes = sum(line.count(b'"') for line in lines) if quoted else 0
        while quotes % 2 and lines[-1]:
            lines.append(file.readline())
            quotes += lines[-1].count(b'"')
        yield b"".join(lines)
