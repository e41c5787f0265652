"""The raw rows of one part of a file: as columns of text where every row has them, and one by one otherwise."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from dataset_builders.parts import Part
from dataset_builders.sources.fields import RawRow
from rabbit_ko.errors import UserError, reason
from rabbit_ko.storage import filesystem

BATCH, BATCH_BYTES = 2_500, 3 << 20
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")


@dataclass(frozen=True)
class Broken:
    """A row that cannot be read: why, and what stands there."""

    reason: str
    text: str


def read_columns(part: Part, required: list[str], optional: list[str]) -> pa.Table | None:
    """Read columns of text; None where any row has something else there, which `read_rows` looks at closely.

    An optional column that is absent is dropped.
    """
    try:
        if part.suffix == ".jsonl":
            return _json_columns(part, required, optional)
        if part.suffix == ".parquet":
            return _parquet_columns(part, required, optional)
    except (pa.ArrowException, OSError):
        return None
    return None


def read_rows(part: Part) -> Iterator[RawRow | Broken]:
    """Yield each row. Raises UserError where the file as a whole is broken."""
    yield from _READERS[part.suffix](part)


def _json_columns(part: Part, required: list[str], optional: list[str]) -> pa.Table | None:
    data = _read(part)
    # Both are looked at line by line: blank lines, and bytes that are no text even in fields that nobody asked for.
    if _BLANK_LINE.search(b"\n" + data):
        return None
    _as_text(data).validate(full=True)
    schema = pa.schema([(name, pa.string()) for name in (*required, *optional)])
    table = pj.read_json(
        pa.BufferReader(data),
        pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    table.validate(full=True)
    # A line with two objects, or an object over two lines, is not what it seems.
    if table.num_rows != part.lines or any(table[name].null_count for name in required):
        return None
    return table.drop_columns([name for name in optional if table[name].null_count == table.num_rows])


def _as_text(data: bytes) -> pa.LargeStringArray:
    """Return the bytes as one text, without a copy."""
    return pa.LargeStringArray.from_buffers(1, pa.array([0, len(data)], pa.int64()).buffers()[1], pa.py_buffer(data))


def _parquet_columns(part: Part, required: list[str], optional: list[str]) -> pa.Table | None:
    with _open(part) as file:
        parquet = pq.ParquetFile(file)
        names = [name for name in (*required, *optional) if name in parquet.schema_arrow.names]
        texts = all(parquet.schema_arrow.field(name).type in (pa.string(), pa.large_string()) for name in names)
        if not texts or set(required) - set(names):
            return None
        batches = list(_parquet_batches(parquet, part, names))
    table = pa.Table.from_batches(batches).cast(pa.schema([(name, pa.string()) for name in names]))
    table.validate(full=True)
    return None if any(table[name].null_count for name in required) else table


def _parquet_batches(parquet: Any, part: Part, names: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Yield the part's rows; a row group that the part does not touch is not read."""
    row_groups, skip, at = [], part.start, 0
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if at < part.end and at + rows > part.start:
            row_groups.append(group)
        elif at + rows <= part.start:
            skip -= rows
        at += rows
    done = -skip
    for batch in parquet.iter_batches(BATCH, row_groups=row_groups, columns=names):
        first, last = max(0, -done), min(len(batch), part.end - part.start - done)
        if last > first:
            yield batch.slice(first, last - first)
        done += len(batch)


def _read_parquet(part: Part) -> Iterator[RawRow | Broken]:
    try:
        with _open(part) as file:
            for batch in _parquet_batches(pq.ParquetFile(file), part, None):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{part.path}: broken parquet file: {reason(error)}") from None


def _read_jsonl(part: Part) -> Iterator[RawRow | Broken]:
    for line in _read(part).split(b"\n"):
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


def _read_csv(part: Part) -> Iterator[RawRow | Broken]:
    csv.field_size_limit(sys.maxsize)
    try:
        text = (part.header + _read(part)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{part.path}: not utf-8: {error}; save it as utf-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                text = json.dumps(list(row.values()), ensure_ascii=False)
                yield Broken("not as many fields as the header has", text)
            else:
                yield row
    except csv.Error as error:
        raise UserError(
            f"{part.path}:{part.before + reader.line_num}: broken CSV: {error}; quote fields that hold quotes"
        ) from None


def _read(part: Part) -> bytes:
    with _open(part) as file:
        file.seek(part.start)
        content: bytes = file.read(part.end - part.start)
    return content


def _open(part: Part) -> Any:
    fs, name = filesystem(part.path)
    return fs.open(name, "rb")


_READERS: dict[str, Callable[[Part], Iterator[RawRow | Broken]]] = {
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
