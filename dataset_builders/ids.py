"""The ids of rows: what upstream's become, and what tells rows apart that upstream gave one id.

A chunk notes a hash of each upstream id and one of what its row says. Where the chunks of a source have an id for
several contents, its rows get the hash of what they say behind it, all of them, so that nothing depends on which one
comes first; their chunks are made once more. Ids that were unique stay as they are.
"""

import hashlib
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from functools import cache
from math import isfinite
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from rabbit_ko.normal_form import normalize
from rabbit_ko.storage import read_arrow, write_arrow

Hashes = npt.NDArray[np.uint64]


def printable_id(upstream: Any) -> str:
    """Return an id as it may stand in a shard, composed (NFC); nothing where there is none, or it is of no use."""
    if upstream is None or isinstance(upstream, bool):
        return ""
    if type(upstream) is int:
        return str(upstream)
    if isinstance(upstream, float):
        # A column of integers, one of them missing, is one of floats.
        is_whole = upstream.is_integer() and abs(upstream) < 2**53
        return str(int(upstream)) if is_whole else repr(upstream) if isfinite(upstream) else ""
    if not isinstance(upstream, str | int | Decimal | date | UUID):
        return ""
    name = normalize("NFC", str(upstream)).strip()
    return name if name.isprintable() else ""


def told_apart(row_id: str, content: str) -> str:
    """Return an id with a hash of what the row says; texts that differ only in composition have the same one."""
    return f"{row_id}-{xxhash.xxh3_64_hexdigest(normalize('NFC', content).encode())}"


def id_hash(row_id: str) -> int:
    """Return the hash by which a row's id is looked up."""
    return xxhash.xxh3_64_intdigest(row_id.encode())


def write_ids(folder: str, ids: list[int], contents: list[int]) -> None:
    """Leave the hashes of a chunk's upstream ids, and of what their rows say."""
    if ids:
        columns = {"id": np.array(ids, np.uint64), "content": np.array(contents, np.uint64)}
        write_arrow(f"{folder}/ids.arrow", pa.table(columns))


def read_ids(folder: str, column: str) -> Hashes:
    """Return one of the columns that `write_ids` left; empty where it left none."""
    try:
        return np.asarray(read_arrow(f"{folder}/ids.arrow", [column])[column].to_numpy(), np.uint64)
    except FileNotFoundError:
        return np.zeros(0, np.uint64)


def repeated_ids(folders: Iterable[str]) -> Hashes:
    """Return the hashes, sorted, of ids that stand for more than one content in these chunks of a source."""
    folders = list(folders)
    ids, contents = (np.concatenate([read_ids(folder, name) for folder in folders]) for name in ("id", "content"))
    order = np.lexsort((contents, ids))
    ids, contents = ids[order], contents[order]
    return np.unique(ids[1:][(ids[1:] == ids[:-1]) & (contents[1:] != contents[:-1])])


def save_repeated(work: str, repeated: Hashes) -> str:
    """Save such hashes for the workers, and return the file, whose name depends on them."""
    path = f"{work}/inputs/ids-{hashlib.sha256(repeated.tobytes()).hexdigest()[:24]}.arrow"
    write_arrow(path, pa.table({"id": repeated}))
    return path


@cache
def load_repeated(path: str) -> frozenset[int]:
    """Return what `save_repeated` saved; nothing where there is no file."""
    return frozenset(read_arrow(path, ["id"])["id"].to_pylist()) if path else frozenset()
