"""The files that a path, a URL or a hub dataset stands for, cut into chunks: the units of work, done only once."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from dataset_builders.strict import Strict
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem, is_url

SUFFIXES = (".jsonl", ".csv", ".parquet")
CHUNK_BYTES = 8 << 20
CHUNK_ROWS = 10_000


class Location(Strict):
    """Where rows are: a path, a URL, or the name of a dataset on the hub with the part of it that is meant."""

    path: str = Field(min_length=1)
    subset: str | None = None
    split: str = "train"
    revision: str | None = None


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a file by their bytes [start, end), or rows of a parquet file; and the hash of the file."""

    path: str
    sha256: str
    start: int
    end: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Input:
    """What is read for a source or a benchmark; `sha256` covers the content of all its files, in any order."""

    chunks: list[Chunk]
    files: int
    bytes: int
    sha256: str
    revision: str | None


def suffix_of(path: str) -> str:
    """Return the ending of a file's name in lower case: `.jsonl`."""
    return PurePosixPath(path).suffix.lower()


def find_input(wanted: Location, folder: str) -> Input:
    """Read a location's files once; `folder` is for what comes from the hub. Raises UserError where there is none."""
    paths, revision = (input_files(wanted.path), None) if is_local(wanted) else download(wanted, folder)
    chunks, sizes, digests = zip(*map(cut, paths), strict=True)
    joint = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    return Input([chunk for some in chunks for chunk in some], len(paths), sum(sizes), joint, revision)


def is_unchanged(wanted: Location, sha256: str, revision: str | None) -> bool:
    """Tell whether an input has the same content, or on the hub the same commit, as far as the hub can be asked."""
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
    """Return the readable files of a path or URL, sorted. Raises UserError where there is none."""
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


def download(wanted: Location, folder: str) -> tuple[list[str], str | None]:
    """Load a dataset once, and keep it in `folder`; return the file and the commit. Raises UserError."""
    commit = commit_of(wanted)
    asked = {"path": wanted.path, "name": wanted.subset, "split": wanted.split, "revision": commit or wanted.revision}
    digest = hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
    path = f"{folder}/{wanted.path.replace('/', '--')}-{digest}.parquet"
    fs, name = filesystem(path)
    if not fs.exists(name):
        from datasets import load_dataset
        from huggingface_hub.utils.logging import set_verbosity_error

        set_verbosity_error()
        dataset = _ask_hub(wanted, lambda: load_dataset(**asked))
        fs.makedirs(fs._parent(name), exist_ok=True)
        dataset.to_parquet(f"{path}.part")
        fs.mv(f"{name}.part", name)
    return [path], commit


def commit_of(wanted: Location) -> str | None:
    """Return the commit that a revision stands for now; None where HF_HUB_OFFLINE forbids to ask."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    commit: str | None = _ask_hub(wanted, lambda: HfApi().dataset_info(wanted.path, revision=wanted.revision).sha)
    return commit


def _ask_hub(wanted: Location, action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:
        said = f"{wanted.path}: no such local path, and the hub dataset cannot be loaded: {reason(error)}"
        advice = "check its name, revision and split, the network, and `hf auth login` where it is gated"
        raise UserError(f"{said}; {advice}") from None
