"""Arrow files and Excel workbooks, written as Arrow files of small checked batches and as CSV."""

import csv
import datetime
import io
import re
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa

from rabbit_ko.errors import UserError, printable, reason

ROWS_PER_BATCH = 1_000


def arrow_to_batches(source: IO[bytes], target: IO[bytes], name: str) -> list[str]:
    """Write the rows of an Arrow file or stream, as `datasets` saves them, as a file of checked, small batches.

    Their types stay, since parquet knows fewer of them, and a column that nothing reads may have any.
    """
    try:
        batches = _arrow_batches(source)
        schema = _without_dictionaries(next(batches))
        with pa.ipc.new_file(target, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            for batch in batches:
                _check(batch)
                columns = [_decoded(column) for column in batch.columns]
                whole = pa.RecordBatch.from_arrays(columns, schema=schema) if columns else batch
                for at in range(0, len(whole), ROWS_PER_BATCH):
                    writer.write_batch(whole.slice(at, ROWS_PER_BATCH))
    except (pa.ArrowException, OSError, EOFError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # a full disk, and nothing of the file's
        raise UserError(f"{name}: broken Arrow file: {reason(error)}; fetch or save it again") from None
    return []


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
    """Write the first visible sheet that is not empty as CSV; the names of the others are told."""
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(source.read()))
        sheets = [(it.name, it.visible == SheetVisibleEnum.Visible) for it in book.sheets_metadata]
        filled = [(sheet, visible) for sheet, visible in sheets if book.get_sheet_by_name(sheet).height]
        if not filled:
            return []
        chosen = next((sheet for sheet, visible in filled if visible), filled[0][0])
        text = io.TextIOWrapper(target, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        rows = [[_cell(value) for value in row] for row in book.get_sheet_by_name(chosen).to_python()]
        # Columns without a name and without a value are formatting.
        width = max((place + 1 for row in rows for place, value in enumerate(row) if value), default=0)
        writer.writerows(row[:width] for row in rows if any(row))
        text.detach()
    except (CalamineError, OSError, ValueError) as error:
        raise UserError(f"{name}: broken Excel file: {reason(error)}; save it again as .xlsx") from None
    others = [f"`{printable(sheet)}`" for sheet, _ in filled if sheet != chosen]
    return [f"sheet `{printable(chosen)}` was read, and not {', '.join(others)}"] if others else []


def _cell(value: object) -> str:
    """Return a cell as Excel would save it in CSV."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime | datetime.date):
        return re.sub("T00:00:00$", "", value.isoformat())
    return str(value)
