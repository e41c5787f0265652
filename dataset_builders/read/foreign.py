"""Arrow files and Excel workbooks, written as Arrow files of small checked batches and as CSV."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from shutil import copyfileobj
from subprocess import PIPE, Popen
from tempfile import TemporaryFile
from typing import IO, Any

import pyarrow as pa

from dataset_builders.read import excel
from dataset_builders.read.bounds import ARROW_BATCH_BYTES, LINE_BYTES, WORKBOOK_BYTES, check_unfolded, too_long
from dataset_builders.read.content import HEAD_BYTES
from dataset_builders.read.messages import batch_bytes
from dataset_builders.read.sizes import row_sizes
from rabbit_ko.errors import UserError, printable, reason
from rabbit_ko.web import shown_bytes

ROWS_PER_BATCH = 1_000


def arrow_to_batches(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
    """Write the rows of an Arrow file or stream, as `datasets` saves them, as a file of checked, small batches.

    Their types stay, since parquet knows fewer of them, and a column that nothing reads may have any.
    """
    try:
        size = _check_size(source, name)
        batches, written = _arrow_batches(source), 0
        schema = _without_dictionaries(next(batches))
        with pa.ipc.new_file(target, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            for batch in batches:
                check_unfolded(written + 8 * batch.num_rows, size, name)
                _check(batch)
                sizes = row_sizes(batch)
                written += int(sizes.sum())
                check_unfolded(written, size, name)
                for part in _parts(batch, sizes.tolist(), name):
                    columns = [_decoded(column) for column in part.columns]
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema) if columns else part)
    except (pa.ArrowException, OSError, EOFError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # a full disk, and nothing of the file's
        raise UserError(f"{name}: broken Arrow file: {reason(error)}; fetch or save it again") from None
    return []


def _check_size(source: IO[bytes], name: str) -> int:
    """Return the bytes of a file. Raises UserError where a batch of it would not fit into memory."""
    is_file, size = source.read(6) == b"ARROW1", source.seek(0, os.SEEK_END)
    for unfolded in batch_bytes(source, 8 if is_file else 0):
        check_unfolded(unfolded, size, name)
        if unfolded > ARROW_BATCH_BYTES:
            raise UserError(
                f"{name}: a batch has {shown_bytes(unfolded)}; save it again with at most 10,000 rows each"
            )
    source.seek(0)
    return size


def _parts(batch: pa.RecordBatch, sizes: Sequence[int], name: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a batch in small ones, by the bytes of each row. Raises UserError where one is too large."""
    start, taken = 0, 0
    for place, size in enumerate(sizes):
        if size > LINE_BYTES:
            raise too_long(name)
        if place - start == ROWS_PER_BATCH or taken + size > LINE_BYTES:
            yield batch.slice(start, place - start)
            start, taken = place, 0
        taken += size
    yield batch.slice(start)


def _without_dictionaries(schema: pa.Schema) -> pa.Schema:
    # A file has one dictionary for all batches, and a stream may have another for each.
    types = [it.type.value_type if pa.types.is_dictionary(it.type) else it.type for it in schema]
    return pa.schema([field.with_type(kind) for field, kind in zip(schema, types, strict=True)])


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _check(batch: pa.RecordBatch) -> None:
    """Raise ArrowInvalid where offsets point out of the file, which would end this process."""
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            # Broken letters cost a row later, but may hide other faults now.
            if "UTF8" not in str(error):
                raise
            column.view(_as_bytes(column.type)).validate(full=True)


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_bytes(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_as_bytes(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_as_bytes(kind.value_type)))
    texts = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    return texts.get(kind, kind)


def _arrow_batches(source: IO[bytes]) -> Iterator[Any]:
    """Yield the schema, and then the record batches."""
    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    if not is_file:
        with pa.ipc.open_stream(source) as stream:
            yield stream.schema
            yield from stream
        return
    with pa.ipc.open_file(source) as file:
        yield file.schema
        yield from (file.get_batch(number) for number in range(file.num_record_batches))


def excel_to_csv(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
    """Write the first visible sheet that is not empty as CSV; the names of the others are told. Raises UserError."""
    command = [sys.executable, "-P", excel.__file__, str(WORKBOOK_BYTES)]
    with TemporaryFile() as said, Popen(command, stdin=PIPE, stdout=PIPE, stderr=said) as process:
        try:
            _pass_through(process, source, target)
        except BaseException:
            process.kill()
            raise
        is_read = not process.wait()
        said.seek(0)
        found = json.loads(said.read().splitlines()[-1]) if is_read else {}
    if not is_read:
        most = f"takes more memory than {shown_bytes(WORKBOOK_BYTES)}, as one with a cell far out does"
        raise UserError(f"{name}: this Excel file is broken, or {most}; save its rows as CSV")
    if "broken" in found:
        broken = printable(" ".join(found["broken"].split()))
        raise UserError(f"{name}: broken Excel file: {broken}; save it again as .xlsx")
    others = ", ".join(f"`{printable(sheet)}`" for sheet in found["others"])
    return [f"sheet `{printable(found['chosen'])}` was read, and not {others}"] if others else []


def _pass_through(process: Popen[bytes], source: IO[bytes], target: IO[bytes]) -> None:
    if process.stdin and process.stdout:
        # A process that has ended takes nothing; how it ended is told later.
        with suppress(BrokenPipeError), process.stdin as book:
            copyfileobj(source, book, HEAD_BYTES)
        copyfileobj(process.stdout, target, HEAD_BYTES)
