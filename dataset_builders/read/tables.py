"""Rows of parquet and Arrow files: of the wanted columns alone, and one by one where a value cannot be read."""

import json
from collections.abc import Collection, Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.read.broken import Broken
from dataset_builders.read.delimited import unique_names
from dataset_builders.read.location import Chunk, suffix_of
from dataset_builders.read.unchanged import check_unchanged
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import UserError, printable, reason
from rabbit_ko.storage import filesystem

PARQUET_ROWS = 1_000


def read_shape(file: IO[bytes], name: str, size: int) -> tuple[list[int], tuple[str, ...]]:
    """Return where chunks of so many rows start and end, and the names of the columns. Raises UserError."""
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: broken parquet file: {reason(error)}") from None
    rows = int(parquet.metadata.num_rows)
    return [*range(0, rows, size), rows], unique_names(names, name)


def read_arrow_shape(file: IO[bytes], name: str, size: int) -> tuple[list[int], tuple[str, ...]]:
    """Return the batches with which chunks of at least so many rows start and end, and the names of the columns."""
    try:
        bounds, rows = [0], 0
        with pa.ipc.open_file(file) as opened:
            names = opened.schema.names
            for number in range(opened.num_record_batches):
                rows += opened.get_batch(number).num_rows
                if rows >= size or number == opened.num_record_batches - 1:
                    bounds, rows = [*bounds, number + 1], 0
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: broken Arrow file: {reason(error)}") from None
    return bounds, unique_names(names, name)


def read_table(chunk: Chunk, wanted: Collection[str] | None) -> Iterator[RawRow | Broken]:
    """Yield the rows of a chunk. Raises UserError where the file is broken, or is not what was hashed."""
    fs, name = filesystem(chunk.path)
    kind, batches = ("Arrow", _arrow) if suffix_of(chunk.path) == ".arrow" else ("parquet", _parquet)
    try:
        with fs.open(name, "rb") as file:
            for batch in batches(file, chunk, wanted):
                yield from _rows(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        check_unchanged(chunk.path, chunk.shown, chunk.digest, chunk.state)
        raise UserError(f"{printable(chunk.shown)}: broken {kind} file: {reason(error)}") from None
    check_unchanged(chunk.path, chunk.shown, chunk.digest, chunk.state)


def _parquet(file: IO[bytes], chunk: Chunk, wanted: Collection[str] | None) -> Iterator[pa.RecordBatch]:
    parquet = pq.ParquetFile(file)
    stored = parquet.schema_arrow.names
    names = zip(stored, chunk.columns or stored, strict=True)
    chosen = {old: new for old, new in names if wanted is None or new in wanted}
    groups = range(parquet.num_row_groups)
    ends = np.cumsum([0, *(parquet.metadata.row_group(group).num_rows for group in groups)])
    # A row group that the chunk does not touch is not read.
    first, last = np.searchsorted(ends, [chunk.start, chunk.end - 1], side="right").tolist()
    at = int(ends[first - 1])
    read = list(groups[first - 1 : last])
    for batch in parquet.iter_batches(PARQUET_ROWS, row_groups=read, columns=list(chosen)):
        some = batch[max(chunk.start - at, 0) : max(chunk.end - at, 0)].select(list(chosen))
        yield some.rename_columns(list(chosen.values()))
        at += len(batch)


def _arrow(file: IO[bytes], chunk: Chunk, wanted: Collection[str] | None) -> Iterator[pa.RecordBatch]:
    places = [place for place, name in enumerate(chunk.columns) if wanted is None or name in wanted]
    names = [chunk.columns[place] for place in places]
    with pa.ipc.open_file(file) as opened:
        for number in range(chunk.start, chunk.end):
            yield opened.get_batch(number).select(places).rename_columns(names)


def _rows(batch: pa.RecordBatch) -> Iterator[RawRow | Broken]:
    columns = [_without_nan(column) if pa.types.is_floating(column.type) else column for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(columns, batch.schema.names) if columns else batch
    try:
        yield from batch.to_pylist()
    except Exception:  # a value that is no Python object can raise anything
        yield from (_row(batch.slice(place, 1)) for place in range(len(batch)))


def _without_nan(column: pa.Array) -> pa.Array:
    column = column.cast(pa.float32()) if pa.types.is_float16(column.type) else column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def _row(batch: pa.RecordBatch) -> RawRow | Broken:
    try:
        row: RawRow = batch.to_pylist()[0]
    except UnicodeDecodeError:
        return Broken("broken unicode", _what_stands_there(batch))
    except Exception as error:
        return Broken(f"a value cannot be read ({type(error).__name__})", _what_stands_there(batch))
    return row


def _what_stands_there(batch: pa.RecordBatch) -> str:
    shown = {name: _shown(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    return json.dumps(shown, ensure_ascii=False, default=str)


def _shown(column: pa.Array) -> Any:
    try:
        return column.to_pylist()[0]
    except UnicodeDecodeError as error:
        return bytes(error.object).decode(errors="replace")
    except Exception as error:
        return repr(error)
