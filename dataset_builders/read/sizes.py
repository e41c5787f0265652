"""How many bytes the rows of a table unfold to, told before they do: dictionaries and runs make much of little."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.read.bounds import TABLE_VALUES

Sizes = npt.NDArray[np.int64]


def is_as_large_as_it_looks(batch: pa.RecordBatch) -> bool:
    """Tell whether rows unfold to no more bytes than a batch has."""
    kinds = str(batch.schema)
    return not any(kind in kinds for kind in ("dictionary<", "_view", "union<", "run_end_encoded<", "extension<"))


def row_sizes(batch: pa.RecordBatch) -> Sizes:
    """Return the bytes of each row, about as many as its texts have and a few for each value. Raises ArrowInvalid."""
    total: Sizes = np.zeros(len(batch), np.int64)
    for column in batch.columns:
        total += _sizes(column)
    return total


def _sizes(column: pa.Array) -> Any:
    kind = column.type
    if len(column) > TABLE_VALUES:
        raise pa.ArrowInvalid(f"it says that it has more than {TABLE_VALUES:,} rows, or values of one column")
    if pa.types.is_dictionary(kind):
        places = column.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        inner = _sizes(column.dictionary)
        return inner[places] if len(inner) else np.zeros(len(column), np.int64)
    if pa.types.is_struct(kind):
        return sum((_sizes(field) for field in column.flatten()), np.full(len(column), 8, np.int64))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        values = column.values if not pa.types.is_map(kind) else _entries(column)
        sums = np.concatenate([[0], np.cumsum(_sizes(values))])
        return sums[offsets[1:]] - sums[offsets[:-1]] + 8
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        starts, counts = (it.to_numpy(zero_copy_only=False).astype(np.int64) for it in (column.offsets, column.sizes))
        sums = np.concatenate([[0], np.cumsum(_sizes(column.values))])
        return sums[starts + counts] - sums[starts] + 8
    if pa.types.is_union(kind):
        return _of_union(column)
    if pa.types.is_fixed_size_list(kind):
        inner = _sizes(column.values)[column.offset * kind.list_size :][: len(column) * kind.list_size]
        return inner.reshape(len(column), kind.list_size).sum(axis=1) + 8
    if pa.types.is_run_end_encoded(kind):
        return np.full(len(column), max(_sizes(column.values), default=0), np.int64)
    if isinstance(kind, pa.BaseExtensionType):
        return _sizes(column.storage)
    if kind in (pa.string_view(), pa.binary_view()):
        # Several may show one text. The first of the four numbers of each is its length.
        lengths = np.frombuffer(column.buffers()[1] or b"", np.int32)[::4][column.offset :][: len(column)]
        return np.where(column.is_valid().to_numpy(zero_copy_only=False), lengths, 0).astype(np.int64) + 8
    if kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        return pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64) + 8
    if pa.types.is_null(kind):
        return np.full(len(column), 8, np.int64)
    if not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind)):
        raise pa.ArrowInvalid(f"a column is of the type {kind}, of which nothing tells how large its values are")
    return np.full(len(column), max(8, kind.bit_width // 8), np.int64)


def _of_union(column: pa.Array) -> Sizes:
    # Its own properties say what all of it has, also where it is a slice.
    rows = slice(column.offset, column.offset + len(column))
    codes = np.frombuffer(column.buffers()[1] or b"", np.int8)[rows]
    is_dense = column.type.mode == "dense"
    places = np.frombuffer(column.buffers()[2] or b"", np.int32)[rows] if is_dense else np.arange(len(column))
    sizes: Sizes = np.full(len(column), 8, np.int64)
    for field, code in enumerate(column.type.type_codes):
        chosen = codes == code
        sizes[chosen] += _sizes(column.field(field))[places[chosen]]
    return sizes


def _entries(column: pa.Array) -> pa.Array:
    return pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"])
