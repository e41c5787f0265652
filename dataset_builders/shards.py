"""Parquet shards, named as the hub names them: slices of all parts' rows, in an order that is keyed by id."""

import hashlib
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
from dataset_builders.storage import read_arrow, read_arrow_slice, write, write_arrow, write_json

Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Slice:
    """Rows [start, end) of a part's `rows.arrow`, or of its `rejected.arrow`, where `fates` is empty."""

    folder: str
    fates: str
    start: int
    end: int


@dataclass(frozen=True)
class ShardTask:
    """A shard to be written to `out/folder`."""

    out: str
    folder: Folder
    split: str
    name: str
    slices: tuple[Slice, ...]

    @property
    def file(self) -> str:
        """The shard's place in the recipe's data."""
        return f"{self.folder}/{self.name}"


def write_fates(choice: Choice, folder: str) -> list[str]:
    """Write what becomes of each part's rows to a file beside the others' and return the files' names."""
    files = []
    evidence_of = _evidence(choice)
    for number, (start, end) in enumerate(pairwise(choice.starts.tolist())):
        files.append(f"{folder}/{number:06}.arrow")
        evidence = pa.array([evidence_of.get(row, "") for row in range(start, end)], pa.string())
        write_arrow(files[-1], pa.table({"fate": choice.fates[start:end], "evidence": evidence}), ROWS_PER_BATCH)
    return files


def plan_shards(
    choice: Choice, fates: list[str], stage: Stage, split: str, out: str, rows_per_shard: int
) -> list[ShardTask]:
    """Plan the shards of a split of a stage; none where the split has no row."""
    keys = choice.order[choice.fates == SPLITS.index(split)]
    parts = [
        (Slice(part.folder, file, 0, part.rows), choice.order[start:end])
        for part, file, (start, end) in zip(choice.parts, fates, pairwise(choice.starts), strict=True)
    ]
    return _tasks(parts, keys, out, stage, split, rows_per_shard)


def plan_rejected(
    choices: list[tuple[Choice, list[str]]], folders: list[str], out: str, rows_per_shard: int
) -> list[ShardTask]:
    """Plan the shards of the rows that are left out, by their part or by the choice. folders: of all parts."""
    parts: list[tuple[Slice, Keys]] = []
    keys = [np.zeros(0, np.uint64)]
    for choice, fates in choices:
        for part, file, (start, end) in zip(choice.parts, fates, pairwise(choice.starts), strict=True):
            order = choice.order[start:end]
            parts.append((Slice(part.folder, file, 0, part.rows), order))
            keys.append(order[choice.fates[start:end] >= len(SPLITS)])
    for folder in folders:
        order = read_arrow(f"{folder}/rejected.arrow", ["order"])["order"].to_numpy()
        parts.append((Slice(folder, "", 0, len(order)), order))
        keys.append(order)
    return _tasks(parts, np.concatenate(keys), out, "rejected", "train", rows_per_shard)


def _tasks(
    parts: list[tuple[Slice, Keys]], keys: Keys, out: str, folder: Folder, split: str, rows_per_shard: int
) -> list[ShardTask]:
    # Rows with one id have one key, and stay together.
    firsts = np.unique(np.sort(keys)[::rows_per_shard])
    bounds = [[*np.searchsorted(order, firsts).tolist(), len(order)] for _, order in parts]
    tasks = []
    for number in range(len(firsts)):
        slices = tuple(
            Slice(part.folder, part.fates, places[number], places[number + 1])
            for (part, _), places in zip(parts, bounds, strict=True)
            if places[number] < places[number + 1]
        )
        name = f"{split}-{number:05d}-of-{len(firsts):05d}.parquet"
        tasks.append(ShardTask(out, folder, split, name, slices))
    return tasks


def write_shard(task: ShardTask) -> Shard:
    """Write a shard with zstd, and, last, the record of what it holds. Raises OSError."""
    pieces = [_read(piece, task) for piece in task.slices]
    schema = SCHEMAS[task.folder].append(pa.field("order", pa.uint64()))
    table = pa.concat_tables([piece.select(schema.names) for piece in pieces])
    others = ("id",) if task.folder != "rejected" else SCHEMAS["rejected"].names
    table = table.sort_by([(name, "ascending") for name in ("order", *others)]).drop_columns(["order"])
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
        return read_arrow_slice(f"{piece.folder}/rejected.arrow", piece.start, piece.end, ROWS_PER_BATCH)
    rows = read_arrow_slice(f"{piece.folder}/rows.arrow", piece.start, piece.end, ROWS_PER_BATCH)
    fates = read_arrow_slice(piece.fates, piece.start, piece.end, ROWS_PER_BATCH)
    if task.folder != "rejected":
        return rows.filter(pc.equal(fates["fate"], SPLITS.index(task.split)))
    is_out = pc.greater_equal(fates["fate"], len(SPLITS))
    return _as_rejected(rows.filter(is_out), fates.filter(is_out))


def _as_rejected(rows: pa.Table, fates: pa.Table) -> pa.Table:
    messages = rows.drop_columns(["order"]).to_pylist()
    left_out = [
        rejected_row(row, FATES[fate["fate"]], fate["evidence"])
        for row, fate in zip(messages, fates.to_pylist(), strict=True)
    ]
    table = pa.Table.from_pylist([vars(row) for row in left_out], schema=SCHEMAS["rejected"])
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
