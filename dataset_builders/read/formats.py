"""The raw rows of a chunk, one by one; a row that cannot be read is a `Broken` one."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.read.inputs import Chunk, suffix_of
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem, read

PARQUET_ROWS = 1_000


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read: why, and what stands there."""

    reason: str
    text: str


def read_rows(chunk: Chunk, wanted: Set[str] | None = None) -> Iterator[RawRow | Broken]:
    """Yield each row. Raises UserError where the file as a whole is broken."""
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
    return readers[suffix_of(chunk.path)](chunk)


def _read_jsonl(chunk: Chunk) -> Iterator[RawRow | Broken]:
    for line in read(chunk.path, chunk.start, chunk.end).split(b"\n"):
        if line.strip():
            yield _json_row(line)


def _json_row(line: bytes) -> RawRow | Broken:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            # Python's parser takes NaN, deeper nesting and halves of surrogate pairs, of which the row is told later.
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            return Broken("broken unicode", repr(line))
        except (ValueError, RecursionError):
            return Broken("broken JSON", line.decode(errors="replace"))
    return row if isinstance(row, dict) else Broken("not an object", line.decode(errors="replace"))


def _read_csv(chunk: Chunk) -> Iterator[RawRow | Broken]:
    csv.field_size_limit(sys.maxsize)
    try:
        with _open(chunk.path) as file:
            header = next(csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline="")), [])
        lines = read(chunk.path, chunk.start, chunk.end).decode("utf-8" if chunk.start else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{chunk.path}: not utf-8: {error}; save it as utf-8") from None
    reader = csv.DictReader(io.StringIO(lines, newline=""), header, strict=True)
    try:
        if not chunk.start:
            next(reader.reader, None)
        for row in reader:
            if None in row or None in row.values():
                values = json.dumps(list(row.values()), ensure_ascii=False)
                yield Broken("not as many fields as the header has", values)
            else:
                yield row
    except csv.Error as error:
        line = read(chunk.path)[: chunk.start].count(b"\n") + reader.reader.line_num
        raise UserError(f"{chunk.path}:{line}: broken CSV: {error}; quote fields that hold quotes") from None


def _read_parquet(chunk: Chunk) -> Iterator[RawRow | Broken]:
    try:
        with _open(chunk.path) as file:
            parquet = pq.ParquetFile(file)
            groups = range(parquet.num_row_groups)
            ends = np.cumsum([0, *(parquet.metadata.row_group(group).num_rows for group in groups)])
            # A row group that the chunk does not touch is not read.
            first, last = np.searchsorted(ends, [chunk.start, chunk.end - 1], side="right").tolist()
            at = int(ends[first - 1])
            for batch in parquet.iter_batches(PARQUET_ROWS, row_groups=list(groups[first - 1 : last])):
                yield from batch[max(chunk.start - at, 0) : max(chunk.end - at, 0)].to_pylist()
                at += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{chunk.path}: broken parquet file: {reason(error)}") from None


def _open(path: str) -> Any:
    fs, name = filesystem(path)
    return fs.open(name, "rb")
