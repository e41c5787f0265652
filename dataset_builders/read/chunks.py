"""A file, cut into chunks: the units of work that are done, and after an interruption not done again."""

import hashlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem

CHUNK_BYTES = 8 << 20
CHUNK_ROWS = 10_000

FileDigest = tuple[str, int]


@dataclass(frozen=True)
class Chunk:
    """Lines of a file by their bytes [start, end), or rows [start, end) of a parquet file.

    `content` is a hash of the lines, or of the whole parquet file. Of a CSV file, `header` is the first line,
    which is read in front of every chunk, and `before` the number of lines in front of it.
    """

    path: str
    content: str
    start: int
    end: int
    before: int = 0
    header: bytes = b""

    @property
    def is_first(self) -> bool:
        """Whether the file starts with this chunk."""
        return self.start <= len(self.header)

    @property
    def suffix(self) -> str:
        return suffix_of(self.path)


def suffix_of(path: str) -> str:
    """Return the ending of a file's name in lower case: `.jsonl`."""
    return PurePosixPath(path).suffix.lower()


def cut(path: str) -> Generator[Chunk, None, FileDigest]:
    """Yield a file's chunks while it is read, and return its hash and size.

    Raises UserError where it is a broken parquet file.
    """
    fs, name = filesystem(path)
    with fs.open(name, "rb") as file:
        return (yield from (_cut_parquet if suffix_of(path) == ".parquet" else _cut_lines)(path, file))


def _cut_parquet(path: str, file: IO[bytes]) -> Generator[Chunk, None, FileDigest]:
    digest = hashlib.sha256()
    while block := file.read(CHUNK_BYTES):
        digest.update(block)
    size = file.tell()
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: broken parquet file: {reason(error)}") from None
    names = parquet.schema_arrow.names
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path}: two columns are called `{twice[0]}`; rename one")
    rows = parquet.metadata.num_rows
    for start in range(0, rows, CHUNK_ROWS):
        yield Chunk(path, digest.hexdigest(), start, min(start + CHUNK_ROWS, rows))
    return digest.hexdigest(), size


def _cut_lines(path: str, file: IO[bytes]) -> Generator[Chunk, None, FileDigest]:
    is_csv = suffix_of(path) == ".csv"
    digest = hashlib.sha256()
    header = b""
    start = before = 0
    for block in _blocks(file, quoted=is_csv):
        digest.update(block)
        if is_csv and not header:
            header = _first_line(block)
        first, end = max(start, len(header)), start + len(block)
        yield Chunk(path, xxhash.xxh3_128_hexdigest(block), first, end, before + (first > start), header)
        start, before = end, before + (block.count(b"\n") if is_csv else 0)
    return digest.hexdigest(), start


def _first_line(block: bytes) -> bytes:
    """Return a CSV file's first line, in which a line break between quotes is none."""
    end = block.find(b"\n") + 1
    while end and block.count(b'"', 0, end) % 2:
        end = block.find(b"\n", end) + 1
    return block[:end] or block


def _blocks(file: IO[bytes], quoted: bool) -> Iterator[bytes]:
    """Read a file in blocks of some size that end with a line; a line break between quotes is none."""
    while block := file.read(CHUNK_BYTES):
        lines = [block, file.readline()]
        quotes = sum(line.count(b'"') for line in lines) if quoted else 0
        while quotes % 2 and lines[-1]:
            lines.append(file.readline())
            quotes += lines[-1].count(b'"')
        yield b"".join(lines)
