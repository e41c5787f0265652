"""The raw rows of a chunk, one by one; a row that cannot be read is a `Broken` one."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.read.chunks import Chunk
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem

PARQUET_ROWS = 1_000


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read: why, and what stands there."""

    reason: str
    text: str


def read_rows(chunk: Chunk) -> Iterator[RawRow | Broken]:
    """Yield each row. Raises UserError where the file as a whole is broken."""
    yield from _READERS[chunk.suffix](chunk)


def _read_jsonl(chunk: Chunk) -> Iterator[RawRow | Broken]:
    for line in _read(chunk).split(b"\n"):
        if line.strip():
            yield _json_row(line)


def _json_row(line: bytes) -> RawRow | Broken:
    try:
        row = _parsed(line)
    except UnicodeDecodeError:
        return Broken("broken unicode", repr(line))
    except (ValueError, RecursionError):
        return Broken("broken JSON", line.decode(errors="replace"))
    return row if isinstance(row, dict) else Broken("not an object", line.decode(errors="replace"))


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # Python's parser takes NaN, deeper nesting and halves of surrogate pairs, of which the row is told later.
        return json.loads(line.decode("utf-8-sig"))


def _read_csv(chunk: Chunk) -> Iterator[RawRow | Broken]:
    csv.field_size_limit(sys.maxsize)
    try:
        text = (chunk.header + _read(chunk)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{chunk.path}: not utf-8: {error}; save it as utf-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                values = json.dumps(list(row.values()), ensure_ascii=False)
                yield Broken("not as many fields as the header has", values)
            else:
                yield row
    except csv.Error as error:
        line = chunk.before + reader.line_num
        raise UserError(f"{chunk.path}:{line}: broken CSV: {error}; quote fields that hold quotes") from None


def _read_parquet(chunk: Chunk) -> Iterator[RawRow | Broken]:
    try:
        with _open(chunk) as file:
            for batch in _parquet_batches(pq.ParquetFile(file), chunk):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{chunk.path}: broken parquet file: {reason(error)}") from None


def _parquet_batches(parquet: Any, chunk: Chunk) -> Iterator[pa.RecordBatch]:
    """Yield the chunk's rows; a row group that it does not touch is not read."""
    groups: list[int] = []
    first = at = 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if at < chunk.end and at + rows > chunk.start:
            first = first if groups else at
            groups.append(group)
        at += rows
    at = first
    for batch in parquet.iter_batches(PARQUET_ROWS, row_groups=groups):
        start, end = max(chunk.start - at, 0), min(chunk.end - at, len(batch))
        if end > start:
            yield batch.slice(start, end - start)
        at += len(batch)


def _read(chunk: Chunk) -> bytes:
    with _open(chunk) as file:
        file.seek(chunk.start)
        content: bytes = file.read(chunk.end - chunk.start)
    return content


def _open(chunk: Chunk) -> Any:
    fs, name = filesystem(chunk.path)
    return fs.open(name, "rb")


_READERS: dict[str, Callable[[Chunk], Iterator[RawRow | Broken]]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
