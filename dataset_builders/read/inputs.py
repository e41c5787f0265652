"""The files that a path, a folder, a URL or a hub dataset stands for, and the chunks that they are cut into.

A chunk is the unit of work that is done, and after an interruption not done again.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.read.hub import Location, commit_of, download
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem, is_url

SUFFIXES = (".jsonl", ".csv", ".parquet")
CHUNK_BYTES = 8 << 20
CHUNK_ROWS = 10_000


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a file by their bytes [start, end), or rows [start, end) of a parquet file.

    `sha256` is that of the file.
    """

    path: str
    sha256: str
    start: int
    end: int


@dataclass(frozen=True)
class Input:
    """What is read for a source or a benchmark.

    `files` and `bytes` are the number and size of its files, `sha256` covers the content of all of them, in any
    order, and `revision` is the hub commit that they are of, where they are.
    """

    chunks: list[Chunk]
    files: int
    bytes: int
    sha256: str
    revision: str | None


def suffix_of(path: str) -> str:
    """Return the ending of a file's name in lower case: `.jsonl`."""
    return PurePosixPath(path).suffix.lower()


def find_input(wanted: Location, folder: str) -> Input:
    """Read the files of a path, a URL or a hub dataset once; `folder` is for what comes from the hub.

    Raises UserError where there is nothing to read, or a parquet file is broken.
    """
    if is_local(wanted):
        paths, revision = input_files(wanted.path), None
    else:
        path, revision = download(wanted, folder)
        paths = [path]
    chunks, sizes, digests = zip(*map(cut, paths), strict=True)
    joint = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    return Input([chunk for some in chunks for chunk in some], len(paths), sum(sizes), joint, revision)


def is_unchanged(wanted: Location, sha256: str, revision: str | None) -> bool:
    """Tell whether an input is what it was: the same content, or on the hub the same commit.

    Where the hub cannot be asked, the recorded commit counts. Raises UserError where there is nothing to read.
    """
    if is_local(wanted):
        return revision is None and find_input(wanted, "").sha256 == sha256
    try:
        return commit_of(wanted) in (None, revision)
    except UserError:
        return True


def is_local(wanted: Location) -> bool:
    """Tell a path or URL from the name of a hub dataset. Raises UserError where it is neither."""
    path = wanted.path
    if is_url(path) or Path(path).expanduser().exists():
        if wanted.revision or wanted.subset:
            raise UserError(f"{path}: a local path has no `revision` and no `subset`; take them away")
        return True
    if path.startswith((".", "/", "~")) or path.count("/") != 1 or suffix_of(path) in SUFFIXES:
        raise UserError(f"{path}: no such file or folder")
    return False


def input_files(path: str) -> list[str]:
    """Return the readable files of a path or URL, a file or a folder, sorted; hidden ones in a folder do not count.

    Raises UserError where there is none.
    """
    fs, name = filesystem(path)
    if not fs.exists(name):
        raise UserError(f"{path}: no such file or folder")
    below = [found[len(name) :].lstrip("/") for found in sorted(fs.find(name))] if fs.isdir(name) else [""]
    files = [file for file in below if suffix_of(file or name) in SUFFIXES and not f"/{file}".count("/.")]
    if not files:
        raise UserError(f"{path}: nothing to read; a file, or a folder of files, must be {', '.join(SUFFIXES)}")
    # As the user wrote it: relative stays relative.
    root = path.rstrip("/") if is_url(path) else str(Path(path).expanduser())
    return [f"{root}/{file}".rstrip("/") for file in files]


def cut(path: str) -> tuple[list[Chunk], int, str]:
    """Return a file's chunks, its size and its hash. Raises UserError where it is a broken parquet file."""
    fs, name = filesystem(path)
    digest, bounds, quotes = hashlib.sha256(), [0], 0
    with fs.open(name, "rb") as file:
        while block := file.read(CHUNK_BYTES):
            rest = file.readline()
            digest.update(block)
            digest.update(rest)
            if suffix_of(path) == ".csv":
                # A line break between quotes is none.
                quotes += block.count(b'"') + rest.count(b'"')
                while quotes % 2 and (rest := file.readline()):
                    digest.update(rest)
                    quotes += rest.count(b'"')
            bounds.append(file.tell())
        size = bounds[-1]
        if suffix_of(path) == ".parquet":
            rows = _parquet_rows(path, file)
            bounds = [*range(0, rows, CHUNK_ROWS), rows]
    sha256 = digest.hexdigest()
    return [Chunk(path, sha256, start, end) for start, end in pairwise(bounds)], size, sha256


def _parquet_rows(path: str, file: IO[bytes]) -> int:
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: broken parquet file: {reason(error)}") from None
    names = parquet.schema_arrow.names
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path}: two columns are called `{twice[0]}`; rename one")
    return int(parquet.metadata.num_rows)
