"""What is read must be what was hashed, though others may write to a file while a build reads it."""

import hashlib
from pathlib import Path

import xxhash

from dataset_builders.read.location import Chunk
from rabbit_ko.errors import UserError, printable
from rabbit_ko.storage import filesystem, read

# Of the bytes of a chunk: nobody picks them to collide with what was there before, and it is as fast as memory.
_hash = xxhash.xxh3_128


class ChunkHashes:
    """The hashes of a file's chunks; only its next block tells whether a chunk ends in the one before.

    Of the blocks `ab|c` and `de`, where `|` is the place: after `cut` the chunks are `ab` and `cde`, else `abcde`.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._own = self._before = self._after = _hash()

    def add(self, block: bytes, place: int | None) -> None:
        """Add a block, in which the chunk may end at a place."""
        if place is not None:
            self._before, self._after = self._own.copy(), _hash(block[place:])
            self._before.update(block[:place])
        self._own.update(block)

    def cut(self) -> None:
        """Let the chunk end at that place."""
        self.found.append(self._before.hexdigest())
        self._own = self._after

    def end(self) -> None:
        """Let the chunk end with the file."""
        self.found.append(self._own.hexdigest())


def changed(name: str) -> UserError:
    """Return what is said of a file that is no longer what was hashed."""
    return UserError(f"{printable(name)}: changed during the build; let it be, and run the command again")


def read_bytes(chunk: Chunk) -> bytes:
    """Return a chunk's bytes. Raises UserError where they are not those that were hashed."""
    try:
        content = read(chunk.path, chunk.start, chunk.end)
    except OSError:  # it is no longer there, or a folder, or a link that leads nowhere
        raise changed(chunk.shown) from None
    if _hash(content).hexdigest() != chunk.digest:
        raise changed(chunk.shown)
    return content


def state_of(path: str) -> str:
    """Return what changes whenever a file is written to, and maybe without that. Raises OSError."""
    fs, name = filesystem(path)
    if "file" not in fs.protocol:
        return str(fs.ukey(name))
    # Of a link this is the state of the file that it leads to.
    found = Path(name).stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a file by its path or URL, read from end to end. Raises OSError."""
    fs, name = filesystem(path)
    with fs.open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_unchanged(path: str, name: str, sha256: str, state: str) -> None:
    """Raise UserError where a file is not what was hashed; it is read again only where its state is another."""
    try:
        is_same = state_of(path) == state or sha256_of(path) == sha256
    except OSError:
        is_same = False
    if not is_same:
        raise changed(name)
