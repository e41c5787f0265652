"""Parquet shards, named as the hub names them: slices of all parts' rows, in an order that is keyed by id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.choose import FATES, SPLITS, Choice
from dataset_builders.manifest import Shard
from dataset_builders.refine import ROWS_PER_BATCH, rejected_row
from dataset_builders.rows import SCHEMAS, Folder, Stage
from rabbit_ko.storage import read_arrow, read_arrow_rows, write, write_json

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Slice:
    """Rows [start, end) of a part's `rows.arrow` with their fates, or of its `rejected.arrow`, where there are none.

    evidence: what shows the fate of rows that are dropped, by their place in the slice.
    """

    folder: str
    start: int
    end: int
    fates: bytes = b""
    evidence: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class ShardTask:
    """A shard to be written to `out/folder`."""

    out: str
    folder: Folder
    split: str
    name: str
    slices: tuple[Slice, ...]

    @property
    def rows_read(self) -> int:
        """The rows that its slices go over: how long it takes."""
        return sum(piece.end - piece.start for piece in self.slices)

    @property
    def file(self) -> str:
        """The shard's place in the recipe's data."""
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True)
class _Rows:
    """All rows of a part that may go into shards: their keys, and for those that were chosen among, their fates."""

    folder: str
    order: Keys
    fates: npt.NDArray[np.uint8] | None = None
    evidence: tuple[tuple[int, str], ...] = ()

    def cut(self, start: int, end: int) -> Slice:
        """Return the rows [start, end)."""
        fates = b"" if self.fates is None else self.fates[start:end].tobytes()
        evidence = tuple((row - start, what) for row, what in self.evidence if start <= row < end)
        return Slice(self.folder, start, end, fates, evidence)


def plan_shards(choice: Choice, stage: Stage, split: str, out: str, rows_per_shard: int) -> list[ShardTask]:
    """Plan the shards of a split of a stage; none where the split has no row."""
    keys = choice.order[choice.fates == SPLITS.index(split)]
    return _tasks(_chosen(choice, {}), keys, out, stage, split, rows_per_shard)


def plan_rejected(
    choices: Sequence[Choice], folders: Sequence[str], out: str, rows_per_shard: int
) -> list[ShardTask]:
    """Plan the shards of the rows that are dropped, by the choice or by their part. folders: of such parts."""
    chosen = [rows for choice in choices for rows in _chosen(choice, _evidence(choice))]
    rejected = [
        _Rows(folder, read_arrow(f"{folder}/rejected.arrow", ["order"])["order"].to_numpy()) for folder in folders
    ]
    keys = [rows.order if rows.fates is None else rows.order[rows.fates >= len(SPLITS)] for rows in chosen + rejected]
    return _tasks(
        chosen + rejected, np.concatenate([np.zeros(0, np.uint64), *keys]), out, "rejected", "train", rows_per_shard
    )


def _chosen(choice: Choice, evidence: dict[int, str]) -> list[_Rows]:
    found = []
    places = np.array(sorted(evidence), np.int64)
    for part, (start, end) in zip(choice.parts, pairwise(choice.starts.tolist()), strict=True):
        mine = places[(places >= start) & (places < end)].tolist()
        shown = tuple((row - start, evidence[row]) for row in mine)
        found.append(_Rows(part.folder, choice.order[start:end], choice.fates[start:end], shown))
    return found


def _tasks(
    parts: Sequence[_Rows], keys: Keys, out: str, folder: Folder, split: str, rows_per_shard: int
) -> list[ShardTask]:
    # Rows with one id have one key, and stay together.
    firsts = np.unique(np.sort(keys)[::rows_per_shard])
    bounds = [[*np.searchsorted(rows.order, firsts).tolist(), len(rows.order)] for rows in parts]
    tasks = []
    for number in range(len(firsts)):
        spans = [(rows, places[number], places[number + 1]) for rows, places in zip(parts, bounds, strict=True)]
        slices = tuple(rows.cut(start, end) for rows, start, end in spans if start < end)
        tasks.append(ShardTask(out, folder, split, f"{split}-{number:05d}-of-{len(firsts):05d}.parquet", slices))
    return tasks


def write_shard(task: ShardTask) -> Shard:
    """Write a shard with zstd, and, last, the record of what it holds. Raises OSError."""
    columns = SCHEMAS[task.folder].names
    table = pa.concat_tables([_read(piece, task).select([*columns, "order"]) for piece in task.slices])
    others = ["id"] if task.folder != "rejected" else columns
    places = pc.sort_indices(table, [(name, "ascending") for name in ("order", *others)])
    table = table.select(columns).take(places)
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, compression="zstd")
    content = sink.getvalue()
    write(f"{task.out}/{task.file}", content)
    shard = Shard(file=task.file, rows=len(table), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    write_json(record(task), shard.model_dump())
    return shard


def record(task: ShardTask) -> str:
    """Return the name of the file that says what a shard holds, which is there when the shard is written."""
    return f"{task.out}/records/{task.folder}/{task.name}.json"


def _read(piece: Slice, task: ShardTask) -> pa.Table:
    """Read the rows of a slice that belong to the shard."""
    if not piece.fates:
        return read_arrow_rows(f"{piece.folder}/rejected.arrow", np.arange(piece.start, piece.end), ROWS_PER_BATCH)
    fates = np.frombuffer(piece.fates, np.uint8)
    is_mine = fates >= len(SPLITS) if task.folder == "rejected" else fates == SPLITS.index(task.split)
    places = np.flatnonzero(is_mine)
    rows = read_arrow_rows(f"{piece.folder}/rows.arrow", piece.start + places, ROWS_PER_BATCH)
    return _as_rejected(rows, piece, places.tolist()) if task.folder == "rejected" else rows


def _as_rejected(rows: pa.Table, piece: Slice, places: list[int]) -> pa.Table:
    evidence = dict(piece.evidence)
    messages = rows.drop_columns(["order"]).to_pylist()
    dropped = [
        rejected_row(row, FATES[piece.fates[place]], evidence.get(place, ""))
        for row, place in zip(messages, places, strict=True)
    ]
    table = pa.Table.from_pylist([vars(row) for row in dropped], schema=SCHEMAS["rejected"])
    return table.append_column("order", rows["order"])


def _evidence(choice: Choice) -> dict[int, str]:
    """Name, for each copy, the row that stays, and how alike they are."""
    rows = np.unique(np.array([twin for twin, _ in choice.twins.values()], np.int64))
    names: dict[int, str] = {}
    for part, (start, end) in zip(choice.parts, pairwise(choice.starts.tolist()), strict=True):
        wanted = rows[(rows >= start) & (rows < end)]
        if len(wanted):
            ids = read_arrow(f"{part.folder}/rows.arrow", ["id"])["id"].take(wanted - start)
            names.update(zip(wanted.tolist(), ids.to_pylist(), strict=True))
    return {
        row: names[twin] if alike == 1 else f"{names[twin]} ({alike:.2f} alike)"
        for row, (twin, alike) in choice.twins.items()
    }
