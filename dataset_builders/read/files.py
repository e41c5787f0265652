"""The files that a path, a folder, a URL or a hub dataset stands for."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dataset_builders.read.chunks import CHUNK_BYTES, Chunk, FileDigest, cut, suffix_of
from dataset_builders.read.hub import Location, commit_of, download
from rabbit_ko.errors import UserError
from rabbit_ko.storage import filesystem, is_url

SUFFIXES = (".jsonl", ".csv", ".parquet")


@dataclass
class Input:
    """A source's files by their paths, and the hub commit that they are of, where they are.

    `files` has their hashes and sizes when all `chunks` have been asked for.
    """

    paths: list[str]
    revision: str | None = None
    files: list[FileDigest] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(fs.size(name) for fs, name in map(filesystem, self.paths))

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks of all files, while these are read."""
        self.files.clear()
        for path in self.paths:
            self.files.append((yield from cut(path)))

    @property
    def sha256(self) -> str:
        """A hash of what all files hold, in any order."""
        return _joint_digest(digest for digest, _ in self.files)


def find_input(wanted: Location, folder: str) -> Input:
    """Return the files of a path, a URL or a hub dataset; `folder` is for what comes from the hub.

    Raises UserError where there is nothing to read.
    """
    if is_local(wanted):
        return Input(input_files(wanted.path))
    return Input(*download(wanted, folder))


def is_unchanged(wanted: Location, sha256: str, revision: str | None) -> bool:
    """Tell whether an input is what it was: the same content, or on the hub the same commit.

    Where the hub cannot be asked, the recorded commit counts. Raises UserError where there is nothing to read.
    """
    if is_local(wanted):
        return revision is None and _joint_digest(map(_digest, input_files(wanted.path))) == sha256
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
    """Return the readable files of a path or URL, a file or a folder, sorted.

    Raises UserError where there is none.
    """
    fs, name = filesystem(path)
    if not fs.exists(name):
        raise UserError(f"{path}: no such file or folder")
    names, root = (sorted(fs.find(name)), name) if fs.isdir(name) else ([name], name.rpartition("/")[0])
    files = [name for name in names if suffix_of(name) in SUFFIXES and not _is_hidden(name[len(root) :])]
    if not files:
        raise UserError(f"{path}: nothing to read; a file, or a folder of files, must be {', '.join(SUFFIXES)}")
    if is_url(path):
        return [fs.unstrip_protocol(name) for name in files]
    # As the user wrote it: relative stays relative.
    given = Path(path).expanduser()
    return [str(given / Path(name).relative_to(given.absolute())) for name in files]


def _is_hidden(path: str) -> bool:
    return any(name.startswith(".") for name in PurePosixPath(path).parts)


def _digest(path: str) -> str:
    fs, name = filesystem(path)
    digest = hashlib.sha256()
    with fs.open(name, "rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _joint_digest(digests: Iterator[str]) -> str:
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
