"""Where the tasks' data come from: the hub, or a local folder that is laid out like it."""

import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import xxhash

from rabbit_ko.errors import UserError


def fingerprint(hub_dir: str, data: str) -> str:
    """Return a hash of a data set's files in the folder; without one, `hub`. Raises UserError where it is missing."""
    if not hub_dir:
        return "hub"
    folder = Path(hub_dir) / data
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if not files:
        raise UserError(
            f"{folder}: no such data set; leave HUB_DIR away to read it from the hub, or TASKS without it"
        )
    digest = xxhash.xxh3_128()
    for file in files:
        digest.update(str(file.relative_to(folder)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def use_fresh_cache(hub_dir: str) -> TemporaryDirectory[str] | None:
    """Keep `datasets` from what it has cached of such folders, which it knows by name and not by content.

    It has to be called before `datasets` is imported.
    """
    if not hub_dir:
        return None
    cache = TemporaryDirectory(prefix="rabbit-ko-datasets-")
    os.environ["HF_DATASETS_CACHE"] = cache.name
    return cache


@contextmanager
def inside(hub_dir: str) -> Iterator[None]:
    """Work in the folder: the harness then takes `skt/kobest_v1` for a local path."""
    with chdir(hub_dir or "."):
        yield
