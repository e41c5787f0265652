"""Parquet shards, named as the hub names them: slices of all chunks' rows, in an order that is keyed by id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.manifest import Shard
from dataset_builders.pipeline import rejected_row
from dataset_builders.rows import SCHEMAS, Conversation, Folder, Preference, Row, to_table
from dataset_builders.split import SPLITS, STATUSES, Split
from dataset_builders.write.chunks import ROWS_PER_RECORD_BATCH
from rabbit_ko.methods import RowKind
from rabbit_ko.storage import read_arrow, read_arrow_rows, write


@dataclass(frozen=True)
class Rows:
    """Some rows of a chunk's `rows.arrow`, or of its `rejected.arrow`, by their places there.

    order: the key of each. dropped: of rows that the split has dropped, the reason and the evidence of each.
    """

    file: str
    places: npt.NDArray[np.int64]
    order: npt.NDArray[np.uint64]
    dropped: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, span: slice) -> "Rows":
        return Rows(self.file, self.places[span], self.order[span], self.dropped[span])


@dataclass(frozen=True)
class ShardTask:
    """A shard to be written to `out/folder`."""

    out: str
    folder: Folder
    name: str
    slices: tuple[Rows, ...]

    @property
    def rows(self) -> int:
        return sum(len(some.places) for some in self.slices)

    @property
    def file(self) -> str:
        """The shard's place in the recipe's data."""
        return f"{self.folder}/{self.name}"


def plan_shards(splits: dict[RowKind, Split], rejected: Sequence[str], out: str, rows: int) -> list[ShardTask]:
    """Plan all shards, of so many rows each; rejected: the folders of chunks that have rejected rows themselves."""
    tasks = []
    for kind, split in splits.items():
        for number, name in enumerate(SPLITS):
            tasks += _plan(_rows_of(split, split.statuses == number), kind, name, out, rows)
    dropped = [some for split in splits.values() for some in _dropped_rows(split)]
    return [*tasks, *_plan([*dropped, *map(_rejected_rows, rejected)], "rejected", "train", out, rows)]


def _rows_of(split: Split, is_wanted: npt.NDArray[np.bool_]) -> list[Rows]:
    found = []
    for chunk, (start, end) in zip(split.chunks, pairwise(split.starts), strict=True):
        places = np.flatnonzero(is_wanted[start:end])
        found.append(Rows(f"{chunk.folder}/rows.arrow", places, split.order[start:end][places]))
    return found


def _dropped_rows(split: Split) -> list[Rows]:
    evidence, found = _evidence(split), []
    for rows, start in zip(_rows_of(split, split.statuses >= len(SPLITS)), split.starts, strict=False):
        numbers = (rows.places + start).tolist()
        dropped = tuple((STATUSES[split.statuses[number]], evidence.get(number, "")) for number in numbers)
        found.append(Rows(rows.file, rows.places, rows.order, dropped))
    return found


def _rejected_rows(folder: str) -> Rows:
    order = read_arrow(f"{folder}/rejected.arrow", ["order"])["order"].to_numpy()
    return Rows(f"{folder}/rejected.arrow", np.arange(len(order)), order)


def _evidence(split: Split) -> dict[int, str]:
    """Name, for each duplicate, the row that stays, and how alike they are."""
    kept = np.unique(np.array([kept for kept, _ in split.duplicate_of.values()], np.int64))
    ids = (row_id for column in split.take(kept, "id", "rows") for row_id in column.to_pylist())
    names = dict(zip(kept.tolist(), ids, strict=True))
    return {
        row: names[kept] if similarity == 1 else f"{names[kept]} ({similarity:.2f} alike)"
        for row, (kept, similarity) in split.duplicate_of.items()
    }


def _plan(chunks: Sequence[Rows], folder: Folder, split: str, out: str, rows_per_shard: int) -> list[ShardTask]:
    keys = np.concatenate([np.zeros(0, np.uint64), *(rows.order for rows in chunks)])
    # Rows with one id have one key, and stay together.
    firsts = np.unique(np.sort(keys)[::rows_per_shard])
    bounds = [[*np.searchsorted(rows.order, firsts).tolist(), len(rows.order)] for rows in chunks]
    tasks = []
    for number in range(len(firsts)):
        slices = (rows[ends[number] : ends[number + 1]] for rows, ends in zip(chunks, bounds, strict=True))
        name = f"{split}-{number:05d}-of-{len(firsts):05d}.parquet"
        tasks.append(ShardTask(out, folder, name, tuple(some for some in slices if len(some.places))))
    return tasks


def write_shard(task: ShardTask) -> Shard:
    """Write a shard with zstd; return what it holds. Raises OSError."""
    columns = SCHEMAS[task.folder].names
    table = pa.concat_tables([_read(rows).select([*columns, "order"]) for rows in task.slices])
    others = ["id"] if task.folder != "rejected" else columns
    places = pc.sort_indices(table, [(name, "ascending") for name in ("order", *others)])
    table = table.select(columns).take(places)
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    content = sink.getvalue()
    write(f"{task.out}/{task.file}", content)
    return Shard(file=task.file, rows=len(table), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _read(rows: Rows) -> pa.Table:
    table = read_arrow_rows(rows.file, rows.places, ROWS_PER_RECORD_BATCH)
    if not rows.dropped:
        return table
    kept = [_row(fields) for fields in table.drop_columns(["order"]).to_pylist()]
    dropped = [rejected_row(row, *why) for row, why in zip(kept, rows.dropped, strict=True)]
    return to_table("rejected", dropped).append_column("order", table["order"])


def _row(fields: dict[str, object]) -> Row:
    return (Conversation if "messages" in fields else Preference)(**fields)  # type: ignore[arg-type]
