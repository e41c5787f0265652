"""Rows of parquet and Arrow files: of the wanted columns alone, and one by one where a value cannot be read."""

import json
import os
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.read.bounds import LINE_BYTES, ROW_BYTES, TABLE_BYTES, TABLE_VALUES, TOO_LARGE, check_unfolded
from dataset_builders.read.broken import Broken
from dataset_builders.read.delimited import unique_names
from dataset_builders.read.location import Chunk, suffix_of
from dataset_builders.read.sizes import is_as_large_as_it_looks, row_sizes
from dataset_builders.read.unchanged import check_unchanged
from dataset_builders.sources._source import RawRow
from rabbit_ko.errors import UserError, printable, reason
from rabbit_ko.storage import filesystem
from rabbit_ko.web import shown_bytes

# So many rows are unfolded at once, or as few as may not be more bytes than these.
PARQUET_ROWS = 1_000
PARQUET_BATCH_BYTES = 1 << 30
# Of long rows a chunk has fewer, but not fewer than these, since each chunk reads its row group from the start.
LEAST_ROWS = 1_000
# How parquet stores values that may be long.
TEXTS = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")


def read_shape(file: IO[bytes], name: str, size: int) -> tuple[list[int], tuple[str, ...]]:
    """Return where chunks of so many rows start and end, and the names of the columns. Raises UserError."""
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: broken parquet file: {reason(error)}") from None
    rows, groups = int(parquet.metadata.num_rows), _groups(parquet)
    values = [
        sum(group.column(place).num_values for group in groups) for place in range(parquet.metadata.num_columns)
    ]
    if max([rows, *values]) > TABLE_VALUES:
        raise UserError(
            f"{name}: it says that it has more than {TABLE_VALUES:,} rows or values in a column; split it"
        )
    unfolded = sum(group.total_byte_size for group in groups)
    check_unfolded(unfolded, file.seek(0, os.SEEK_END), name)
    some = TABLE_BYTES // 4 * rows // max(1, unfolded)
    step = max(min(size, LEAST_ROWS), min(size, some))
    return [*range(0, rows, step), rows], unique_names(names, name)


def _groups(parquet: pq.ParquetFile) -> list[Any]:
    return [parquet.metadata.row_group(number) for number in range(parquet.num_row_groups)]


def read_arrow_shape(file: IO[bytes], name: str, size: int) -> tuple[list[int], tuple[str, ...]]:
    """Return the batches with which chunks of at least so many rows start and end, and the names of the columns."""
    try:
        bounds, rows, taken = [0], 0, 0
        with pa.ipc.open_file(file) as opened:
            names = opened.schema.names
            for number in range(opened.num_record_batches):
                batch = opened.get_batch(number)
                rows, taken = rows + batch.num_rows, taken + batch.nbytes
                if rows >= size or taken >= LINE_BYTES or number == opened.num_record_batches - 1:
                    bounds, rows, taken = [*bounds, number + 1], 0, 0
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: broken Arrow file: {reason(error)}") from None
    return bounds, unique_names(names, name)


def read_table(chunk: Chunk, wanted: Collection[str] | None) -> Iterator[RawRow | Broken]:
    """Yield the rows of a chunk. Raises UserError where the file is broken, or is not what was hashed."""
    fs, name = filesystem(chunk.path)
    kind, batches = ("Arrow", _arrow) if suffix_of(chunk.path) == ".arrow" else ("parquet", _parquet)
    try:
        with fs.open(name, "rb") as file:
            taken = 0
            for batch in batches(file, chunk, wanted):
                is_small = batch.nbytes <= ROW_BYTES and is_as_large_as_it_looks(batch)
                sizes = np.array([batch.nbytes]) if is_small else row_sizes(batch)
                taken += int(sizes[sizes <= ROW_BYTES].sum())
                if taken > TABLE_BYTES:
                    raise _too_much(chunk)
                yield from _rows(batch) if max(sizes, default=0) <= ROW_BYTES else _small_rows(batch, sizes.tolist())
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        check_unchanged(chunk.path, chunk.shown, chunk.digest, chunk.state)
        raise UserError(f"{printable(chunk.shown)}: broken {kind} file: {reason(error)}") from None
    check_unchanged(chunk.path, chunk.shown, chunk.digest, chunk.state)


def _too_much(chunk: Chunk) -> UserError:
    said = f"rows {chunk.start:,} to {chunk.end:,} unfold to more than {shown_bytes(TABLE_BYTES)}"
    return UserError(f"{chunk.shown}: {said}; if they are data, save them as JSON lines, which can be cut")


def _small_rows(batch: pa.RecordBatch, sizes: list[int]) -> Iterator[RawRow | Broken]:
    for place, size in enumerate(sizes):
        if size > ROW_BYTES:
            yield Broken(TOO_LARGE, f"{size:,} bytes")
        else:
            yield from _rows(batch.slice(place, 1))


def _parquet(file: IO[bytes], chunk: Chunk, wanted: Collection[str] | None) -> Iterator[pa.RecordBatch]:
    metadata, ends = _footer(chunk.path, chunk.digest, chunk.state)
    parquet = pq.ParquetFile(file, metadata=metadata)
    stored = parquet.schema_arrow.names
    names = zip(stored, chunk.columns or stored, strict=True)
    chosen = {old: new for old, new in names if wanted is None or new in wanted}
    # A row group that the chunk does not touch is not read.
    first, last = np.searchsorted(ends, [chunk.start, chunk.end - 1], side="right").tolist()
    at, groups = int(ends[first - 1]), range(first - 1, last)
    largest = max(_largest(file, metadata.row_group(group), chosen) for group in groups)
    rows = min(PARQUET_ROWS, 1 + PARQUET_BATCH_BYTES // (1 + largest))
    for batch in parquet.iter_batches(rows, row_groups=list(groups), columns=list(chosen)):
        some = batch[max(chunk.start - at, 0) : max(chunk.end - at, 0)].select(list(chosen))
        yield some.rename_columns(list(chosen.values()))
        at += len(batch)
        if at >= chunk.end:
            break


@lru_cache(maxsize=1)
def _footer(path: str, digest: str, state: str) -> tuple[Any, npt.NDArray[np.int64]]:
    """Return the metadata of a parquet file as it was hashed, and with which row each row group starts and ends."""
    fs, name = filesystem(path)
    with fs.open(name, "rb") as file:
        metadata = pq.read_metadata(file)
    return metadata, np.cumsum(
        [0, *(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))]
    )


def _largest(file: IO[bytes], group: Any, columns: Collection[str]) -> int:
    """Return about how many bytes a row may unfold to, where it points to the largest texts of its row group.

    Texts that stand there once each are together no larger than the row group is, not compressed.
    """
    found = [group.column(place) for place in range(group.num_columns)]
    starts = tuple(f"{name}." for name in columns)
    texts = [it for it in found if f"{it.path_in_schema}.".startswith(starts) and it.physical_type in TEXTS]
    once = sum(it.total_uncompressed_size for it in texts) // PARQUET_ROWS
    return int(once + sum(_repeated_bytes(file, it) for it in texts))


def _repeated_bytes(file: IO[bytes], column: Any) -> int:
    """Return the bytes of what the values of a column of a row group may have in common."""
    largest = int(column.total_uncompressed_size)
    if largest * PARQUET_ROWS <= PARQUET_BATCH_BYTES or "DELTA_BYTE_ARRAY" in column.encodings:
        return largest
    if not column.has_dictionary_page:
        return 0
    file.seek(column.dictionary_page_offset)
    # So Thrift writes the head of a dictionary's page: its kind, and its size, seven bits a byte, with the sign last.
    head = re.match(rb"\x15\x04\x15([\x80-\xff]*+[\x00-\x7f])", file.read(16))
    digits = [(byte & 127) << 7 * place for place, byte in enumerate(head[1])] if head else [2 * largest]
    return sum(digits) // 2


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
