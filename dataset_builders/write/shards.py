"""Parquet shards, named as the hub names them: slices of all chunks' rows, in an order that is keyed by id."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.manifest import Shard
from dataset_builders.pipeline import DoneChunk, rejected_row
from dataset_builders.rows import SCHEMAS, Conversation, Folder, Preference, to_table
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


@dataclass(frozen=True)
class ShardTask:
    """A shard to be written to the file `name` in a folder of `out`."""

    out: str
    folder: Folder
    name: str
    slices: list[Rows]


def plan_shards(splits: Mapping[RowKind, Split], chunks: Sequence[DoneChunk], out: str, rows: int) -> list[ShardTask]:
    """Plan all shards, of so many rows each; the largest come first."""
    tasks, rejected = [], [_rejected_rows(chunk) for chunk in chunks if chunk.rejected]
    for kind, split in splits.items():
        for number, name in enumerate(SPLITS):
            tasks += _plan(_rows_of(split, split.statuses == number), kind, name, out, rows)
        rejected += _rows_of(split, split.statuses >= len(SPLITS), _evidence(split))
    tasks += _plan(rejected, "rejected", "train", out, rows)
    return sorted(tasks, key=lambda task: -sum(len(some.places) for some in task.slices))


def _rejected_rows(chunk: DoneChunk) -> Rows:
    order = read_arrow(f"{chunk.folder}/rejected.arrow", ["order"])["order"].to_numpy()
    return Rows(f"{chunk.folder}/rejected.arrow", np.arange(len(order)), order)


def _rows_of(split: Split, is_wanted: npt.NDArray[np.bool_], evidence: dict[int, str] | None = None) -> list[Rows]:
    """Return the wanted rows of each chunk; with evidence, they are dropped ones."""
    found = []
    for chunk, (start, end) in zip(split.chunks, pairwise(split.starts), strict=True):
        rows = start + np.flatnonzero(is_wanted[start:end])
        dropped = []
        if evidence is not None:
            dropped = [(STATUSES[split.statuses[row]], evidence.get(row, "")) for row in rows.tolist()]
        found.append(Rows(f"{chunk.folder}/rows.arrow", rows - start, split.order[rows], tuple(dropped)))
    return found


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
    tasks = [
        ShardTask(out, folder, f"{split}-{number:05d}-of-{len(firsts):05d}.parquet", [])
        for number in range(len(firsts))
    ]
    for rows in chunks:
        bounds = [*np.searchsorted(rows.order, firsts).tolist(), len(rows.order)]
        for task, (start, end) in zip(tasks, pairwise(bounds), strict=True):
            if start < end:
                some = rows.places[start:end], rows.order[start:end], rows.dropped[start:end]
                task.slices.append(Rows(rows.file, *some))
    return tasks


def write_shard(task: ShardTask) -> Shard:
    """Write a shard with zstd; return what it holds. Raises OSError."""
    columns = SCHEMAS[task.folder].names
    table = pa.concat_tables([_read(rows).select([*columns, "order"]) for rows in task.slices])
    others = ["id"] if task.folder != "rejected" else columns
    places = pc.sort_indices(table, [(name, "ascending") for name in ("order", *others)])
    sink = pa.BufferOutputStream()
    pq.write_table(table.select(columns).take(places).combine_chunks(), sink, compression="zstd")
    content, file = sink.getvalue(), f"{task.folder}/{task.name}"
    write(f"{task.out}/{file}", content)
    return Shard(file=file, rows=len(table), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _read(rows: Rows) -> pa.Table:
    table = read_arrow_rows(rows.file, rows.places, ROWS_PER_RECORD_BATCH)
    if not rows.dropped:
        return table
    kind = Conversation if "messages" in table.column_names else Preference
    kept = [kind(**fields) for fields in table.drop_columns(["order"]).to_pylist()]
    dropped = [rejected_row(row, *why) for row, why in zip(kept, rows.dropped, strict=True)]
    return to_table("rejected", dropped).append_column("order", table["order"])
