"""Parquet shards, named as the hub names them: slices of all chunks' rows, in an order that is keyed by id."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from dataset_builders.manifest import MANIFEST, Manifest, Shard
from dataset_builders.pipeline import ROWS_PER_RECORD_BATCH, DoneChunk, rejected_row
from dataset_builders.schemas import SCHEMAS, Folder, fitted, from_shard, schema_of, to_table
from dataset_builders.split import SPLITS, STATUSES, TRAIN, Split
from rabbit_ko.errors import UserError
from rabbit_ko.methods import RowKind
from rabbit_ko.storage import (
    files_below,
    filesystem,
    is_url,
    read,
    read_arrow,
    read_arrow_rows,
    remove,
    remove_leftovers,
    write,
)

WORK = ".chunks"


@dataclass(frozen=True)
class Rows:
    """Some rows of a chunk's file, by their places there, with their keys.

    dropped: of dropped rows, (reason, evidence). ids: of repeats, the ids that they have in the place of the file's.
    """

    file: str
    places: npt.NDArray[np.int64]
    order: npt.NDArray[np.uint64]
    dropped: tuple[tuple[str, str], ...] = ()
    ids: tuple[str, ...] = ()

    def part(self, some: slice) -> "Rows":
        """Return some of these rows, one after the other."""
        return Rows(self.file, self.places[some], self.order[some], self.dropped[some], self.ids[some])


@dataclass(frozen=True)
class ShardTask:
    """A shard to be written to the file `name` in a folder of `out`; all of a folder are in one `schema`."""

    out: str
    folder: Folder
    name: str
    slices: list[Rows]
    schema: pa.Schema


def plan_shards(splits: Mapping[RowKind, Split], chunks: Sequence[DoneChunk], out: str, rows: int) -> list[ShardTask]:
    """Plan all shards, of so many rows each; the largest come first."""
    tasks, files = [], [f"{chunk.folder}/rejected.arrow" for chunk in chunks if chunk.rejected]
    keys = [read_arrow(file, ["order"])["order"].to_numpy() for file in files]
    rejected = [Rows(file, np.arange(len(order)), order) for file, order in zip(files, keys, strict=True)]
    for kind, split in splits.items():
        schema = schema_of(kind, split.extras)
        for number, name in enumerate(SPLITS):
            wanted = _rows_of(split, split.statuses == number) + (_repeats_of(split) if name == TRAIN else [])
            tasks += _plan(wanted, ShardTask(out, kind, name, [], schema), rows)
        rejected += _rows_of(split, split.statuses >= len(SPLITS), _evidence(split))
    tasks += _plan(rejected, ShardTask(out, "rejected", "train", [], SCHEMAS["rejected"]), rows)
    return sorted(tasks, key=lambda task: -sum(len(some.places) for some in task.slices))


def _rows_of(split: Split, is_wanted: npt.NDArray[np.bool_], evidence: dict[int, str] | None = None) -> list[Rows]:
    """Return the wanted rows of each chunk; with evidence, they are dropped ones."""
    found = []
    for chunk, (start, end) in zip(split.chunks, pairwise(split.starts), strict=True):
        rows = start + np.flatnonzero(is_wanted[start:end])
        why = () if evidence is None else ((split.statuses[row], evidence.get(row, "")) for row in rows.tolist())
        dropped = tuple((STATUSES[status], shown) for status, shown in why)
        found.append(Rows(f"{chunk.folder}/rows.arrow", rows - start, split.order[rows], dropped))
    return found


def _repeats_of(split: Split) -> list[Rows]:
    """Return the repeats of each chunk's rows, in the order of their keys."""
    found, again = [], split.repeats
    for chunk, (start, end) in zip(split.chunks, pairwise(split.starts), strict=True):
        some = np.flatnonzero((again.rows >= start) & (again.rows < end))
        some = some[np.argsort(again.order[some], kind="stable")]
        ids = tuple(again.ids[place] for place in some.tolist())
        found.append(Rows(f"{chunk.folder}/rows.arrow", again.rows[some] - start, again.order[some], ids=ids))
    return found


def _evidence(split: Split) -> dict[int, str]:
    kept = np.unique(np.array([kept for kept, _ in split.duplicate_of.values()], np.int64))
    names = dict(zip(kept.tolist(), split.take(kept, "id", "rows").to_pylist(), strict=True))
    return {
        row: names[kept] if similarity == 1 else f"{names[kept]} ({similarity:.2f} alike)"
        for row, (kept, similarity) in split.duplicate_of.items()
    }


def _plan(chunks: Sequence[Rows], all_rows: ShardTask, rows_per_shard: int) -> list[ShardTask]:
    """Cut one shard of all rows of a split, which is its name, into several."""
    keys = np.concatenate([np.zeros(0, np.uint64), *(rows.order for rows in chunks)])
    # Rows with one id have one key, and stay together.
    firsts = np.unique(np.sort(keys)[::rows_per_shard])
    names = [f"{all_rows.name}-{number:05d}-of-{len(firsts):05d}.parquet" for number in range(len(firsts))]
    tasks = [replace(all_rows, name=name, slices=[]) for name in names]
    for rows in chunks:
        bounds = [*np.searchsorted(rows.order, firsts).tolist(), len(rows.order)]
        for task, (start, end) in zip(tasks, pairwise(bounds), strict=True):
            if start < end:
                task.slices.append(rows.part(slice(start, end)))
    return tasks


def write_shard(task: ShardTask) -> Shard:
    """Write a shard with zstd; return what it holds. Raises OSError."""
    columns, schema = task.schema.names, task.schema.append(pa.field("order", pa.uint64()))
    table = pa.concat_tables([fitted(_read(rows), schema) for rows in task.slices])
    others = ["id"] if task.folder != "rejected" else columns
    places = pc.sort_indices(table, [(name, "ascending") for name in ("order", *others)])
    sink = pa.BufferOutputStream()
    pq.write_table(table.select(columns).take(places).combine_chunks(), sink, compression="zstd")
    content, file = sink.getvalue(), f"{task.folder}/{task.name}"
    write(f"{task.out}/{file}", content)
    return Shard(file=file, rows=len(table), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _read(rows: Rows) -> pa.Table:
    table = read_arrow_rows(rows.file, rows.places, ROWS_PER_RECORD_BATCH)
    if rows.ids:
        table = table.set_column(table.schema.get_field_index("id"), "id", pa.array(rows.ids, pa.string()))
        return table.set_column(table.schema.get_field_index("order"), "order", pa.array(rows.order))
    if not rows.dropped:
        return table
    kept = map(from_shard, table.drop_columns(["order"]).to_pylist())
    dropped = [rejected_row(row, *why) for row, why in zip(kept, rows.dropped, strict=True)]
    return to_table("rejected", dropped).append_column("order", table["order"])


@contextmanager
def locked(out: str) -> Iterator[str]:
    """Hold `out` for one build (a URL on this machine only); give a folder for chunks, removed when it succeeds."""
    work = f"{out}/{WORK}"
    folder = Path(tempfile.gettempdir(), hashlib.sha256(out.encode()).hexdigest()) if is_url(out) else Path(work)
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "lock"
    try:
        with FileLock(lock, timeout=0):
            try:
                yield work
                _clear(work)
            finally:
                # A build that left nothing leaves no folder.
                lock.unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()
                    Path(out).rmdir()
    except Timeout:
        raise UserError(f"{out}: another build is at work here; wait for it, or end it") from None


def _clear(work: str) -> None:
    """Remove what a build worked with; reports first, since each vouches for files beside it, and a kill may come."""
    fs, name = filesystem(work)
    if reports := [f"{name}/{file}" for file in files_below(work) if file.endswith((".report", "/report.json"))]:
        fs.rm(reports)
    remove(work)


def check_out(out: str) -> None:
    """Raise UserError where a folder that shards go to holds anything else: it would be lost."""
    files = [f"{folder}/{name}" for folder in SCHEMAS for name in files_below(f"{out}/{folder}")]
    if others := [file for file in files if not file.endswith(".parquet")]:
        raise UserError(f"{out}/{others[0]}: no shard, and the build replaces this folder; move the file away")


def publish(manifest: Manifest, work: str, out: str) -> None:
    """Move new shards into place where bytes changed; the manifest goes first and comes last: it vouches for all."""
    # All is read before anything goes, as reading may fail.
    other = [
        kind for kind in SCHEMAS if _digests(out, kind) != {it.file: it.sha256 for it in manifest.in_folder(kind)}
    ]
    remove_leftovers(out)
    remove(f"{out}/{MANIFEST}")
    for folder in other:
        # On this machine a folder is moved at once, and in object storage file by file.
        fs, place = filesystem(f"{out}/{folder}")
        _, new = filesystem(f"{work}/{folder}")
        if fs.exists(place):
            fs.mv(place, f"{new}-old", recursive=True)
        if fs.exists(new):
            fs.mv(new, place, recursive=True)
    write(f"{out}/{MANIFEST}", manifest.to_json().encode())


def _digests(out: str, folder: str) -> dict[str, str]:
    files = [f"{folder}/{name}" for name in files_below(f"{out}/{folder}")]
    return {file: hashlib.sha256(read(f"{out}/{file}")).hexdigest() for file in files}
