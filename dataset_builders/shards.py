"""Parquet shards, named as the hub names them."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.rows import SCHEMAS, Folder, RejectedRow, Row


@dataclass(frozen=True)
class Shard:
    """One file; `file` is relative to the recipe's data folder."""

    file: str
    rows: int
    bytes: int
    sha256: str


def write_shards(
    rows: Sequence[Row] | Sequence[RejectedRow], out: Path, folder: Folder, split: str, rows_per_shard: int
) -> list[Shard]:
    """Write `<out>/<folder>/<split>-00000-of-0000N.parquet` with zstd; return what was written."""
    (out / folder).mkdir(exist_ok=True)
    starts = range(0, len(rows), rows_per_shard)
    shards = []
    for number, start in enumerate(starts):
        part = rows[start : start + rows_per_shard]
        path = out / folder / f"{split}-{number:05d}-of-{len(starts):05d}.parquet"
        table = pa.Table.from_pylist([asdict(row) for row in part], schema=SCHEMAS[folder])
        pq.write_table(table, path, compression="zstd")
        content = path.read_bytes()
        relative = path.relative_to(out).as_posix()
        shards.append(Shard(relative, len(part), len(content), hashlib.sha256(content).hexdigest()))
    return shards
