"""Finished shards under their final names, all of a folder at once; and the lock that keeps a second build out."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dataset_builders.manifest import MANIFEST, Manifest, Shard
from dataset_builders.rows import SCHEMAS
from dataset_builders.write.shards import ShardTask
from rabbit_ko.errors import UserError
from rabbit_ko.storage import files_below, filesystem, is_url, read, remove, write

WORK = ".chunks"


@contextmanager
def locked(out: str) -> Iterator[str]:
    """Hold `out` for one build and give the folder for its chunks, which is removed when the build succeeds.

    Raises UserError where another build holds it. In object storage, the lock holds on this machine only.
    """
    work = f"{out}/{WORK}"
    lock = Path(tempfile.gettempdir()) / f"{hashlib.sha256(out.encode()).hexdigest()[:16]}.lock"
    if not is_url(out):
        lock = Path(work, "lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            try:
                yield work
                _remove_chunks(work)
            finally:
                _remove_empty(lock, out)
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


def publish(manifest: Manifest, tasks: Sequence[ShardTask], out: str) -> None:
    """Move the new shards into place. The manifest goes first and comes back last, and so vouches for the rest."""
    remove(f"{out}/{MANIFEST}")
    for folder in SCHEMAS:
        shards = manifest.in_folder(folder)
        is_same = {f"{folder}/{name}" for name in files_below(f"{out}/{folder}")} == {shard.file for shard in shards}
        if not (is_same and all(_holds(out, shard) for shard in shards)):
            new = [task for task in tasks if task.folder == folder]
            (_copy if is_url(out) else _swap)(folder, new, out)
    write(f"{out}/{MANIFEST}", manifest.to_json().encode())


def _swap(folder: str, tasks: Sequence[ShardTask], out: str) -> None:
    """Put a folder of links to the new shards in the place of the old one."""
    old, new, aside = Path(out, folder), Path(out, WORK, f"new-{folder}"), Path(out, WORK, f"old-{folder}")
    for leftover in (new, aside):
        remove(str(leftover))
    new.mkdir(parents=True)
    for task in tasks:
        _link(Path(task.out, task.file), new / task.name)
    if old.is_symlink():
        old.unlink()
    elif old.exists():
        old.rename(aside)
    if tasks:
        new.rename(old)


def _link(shard: Path, name: Path) -> None:
    try:
        name.hardlink_to(shard)
    except OSError:
        shutil.copyfile(shard, name)


def _copy(folder: str, tasks: Sequence[ShardTask], out: str) -> None:
    """Copy shards one by one, since object storage cannot rename a folder; each is complete when it shows."""
    remove(f"{out}/{folder}")
    for task in tasks:
        fs, name = filesystem(f"{task.out}/{task.file}")
        fs.copy(name, filesystem(f"{out}/{task.file}")[1])


def _holds(folder: str, shard: Shard) -> bool:
    try:
        return hashlib.sha256(read(f"{folder}/{shard.file}")).hexdigest() == shard.sha256
    except FileNotFoundError:
        return False


def _remove_chunks(work: str) -> None:
    fs, name = filesystem(work)
    for path in fs.ls(name, detail=False) if fs.exists(name) else ():
        if not path.endswith("/lock"):
            fs.rm(path, recursive=True)


def _remove_empty(lock: Path, out: str) -> None:
    """Leave no folder behind that holds nothing but the lock."""
    if is_url(out) or any(path != lock for path in lock.parent.iterdir()):
        return
    lock.unlink()
    for folder in (lock.parent, Path(out), Path(out).parent):
        with suppress(OSError):
            folder.rmdir()
