"""What changed between two builds: rows that came, went or say something else, and rows with another reason."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.verify import read_manifest
from rabbit_ko.storage import read

KEPT = "kept"
Place = tuple[str, str]


@dataclass
class Difference:
    """Ids by what happened to them, from the first build to the second; a fate is `sft/train`, or a reason.

    moved: (fate before, fate after) -> ids.
    """

    added: dict[str, list[str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    moved: dict[Place, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved)


def diff(before: str, after: str) -> Difference:
    """Compare the rows of two folders, paths or URLs, by id. Raises UserError where one has no manifest."""
    old, new = _fates(before), _fates(after)
    difference = Difference()
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if was is None and now is not None:
            difference.added.setdefault(now[0], []).append(key[0])
        elif now is None and was is not None:
            difference.removed.setdefault(was[0], []).append(key[0])
        elif was is not None and now is not None and was[0] != now[0]:
            difference.moved.setdefault((was[0], now[0]), []).append(key[0])
        elif was != now:
            difference.changed.append(key[0])
    return difference


def _fates(folder: str) -> dict[tuple[str, int], tuple[str, bytes]]:
    """Return (fate, hash of the row) for each row by its id, and a number where an id stands more than once."""
    fates: dict[tuple[str, int], tuple[str, bytes]] = {}
    seen = Counter[str]()
    for shard in read_manifest(folder).shards:
        place = shard.file.rsplit("-", 3)[0]
        table = pq.read_table(pa.BufferReader(read(f"{folder}/{shard.file}")), use_threads=False)
        for row_id, fate, digest in _rows(table, place):
            fates[row_id, seen[row_id]] = (fate, digest)
            seen[row_id] += 1
    return fates


def _rows(table: pa.Table, place: str) -> Iterator[tuple[str, str, bytes]]:
    for row in table.to_pylist():
        digest = hashlib.blake2b(repr(row).encode(), digest_size=8).digest()
        yield row["id"], row.get("reason", place), digest
