"""Finished shards under their final names, all of a folder at once; and the lock that keeps a second build out."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dataset_builders.manifest import MANIFEST, Manifest
from dataset_builders.rows import SCHEMAS
from rabbit_ko.errors import UserError
from rabbit_ko.storage import files_below, filesystem, is_url, read, remove, write

WORK = ".chunks"


@contextmanager
def locked(out: str) -> Iterator[str]:
    """Hold `out` for one build and give the folder for its chunks, which is removed when the build succeeds.

    Raises UserError where another build holds it. In object storage, the lock holds on this machine only.
    """
    work = f"{out}/{WORK}"
    folder = Path(tempfile.gettempdir(), hashlib.sha256(out.encode()).hexdigest()) if is_url(out) else Path(work)
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "lock"
    try:
        with FileLock(lock, timeout=0):
            try:
                yield work
                remove(work)
            finally:
                # A build that left nothing leaves no folder.
                lock.unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()
                    Path(out).rmdir()
    except Timeout:
        raise UserError(f"{out}: another build is at work here; wait for it, or end it") from None


def check_out(out: str) -> None:
    """Raise UserError where a folder that shards go to holds anything else: it would be lost."""
    for folder in SCHEMAS:
        for name in files_below(f"{out}/{folder}"):
            if not name.endswith(".parquet"):
                raise UserError(
                    f"{out}/{folder}/{name}: no shard, and the build replaces this folder; move the file away"
                )


def publish(manifest: Manifest, work: str, out: str) -> None:
    """Move the new shards from `work` into place; folders whose bytes did not change stay as they are.

    The manifest goes first and comes back last, and so vouches for the rest.
    """
    remove(f"{out}/{MANIFEST}")
    for folder in SCHEMAS:
        old = {f"{folder}/{name}" for name in files_below(f"{out}/{folder}")}
        digests = {name: hashlib.sha256(read(f"{out}/{name}")).hexdigest() for name in old}
        if digests != {shard.file: shard.sha256 for shard in manifest.in_folder(folder)}:
            # On this machine a folder is moved at once, and in object storage file by file.
            fs, place = filesystem(f"{out}/{folder}")
            _, new = filesystem(f"{work}/{folder}")
            if fs.exists(place):
                fs.mv(place, f"{new}-old", recursive=True)
            if fs.exists(new):
                fs.mv(new, place, recursive=True)
    write(f"{out}/{MANIFEST}", manifest.to_json().encode())
