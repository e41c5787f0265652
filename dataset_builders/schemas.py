"""The columns of the shards, and the rows in them.

Messages and rows may have fields that most have not. A folder of shards has columns for those of them that one of its
rows needs, the same in all of its files.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any, Literal

import pyarrow as pa

from dataset_builders.rows import Conversation, Labelled, Preference, Row, all_messages

Folder = Literal["sft", "dpo", "kto", "rejected"]

_TEXT = pa.string()
_OF_MESSAGES = {"weight": pa.int8(), "reasoning_content": _TEXT, "tool_calls": _TEXT, "tool_call_id": _TEXT}
TOOLS = "tools"
# The columns that a shard has only where it needs them; each has its bit in the keys that chunks leave.
EXTRAS = (*_OF_MESSAGES, TOOLS)
_LISTS = {"sft": ("messages",), "dpo": ("prompt", "chosen", "rejected"), "kto": ("prompt", "completion")}


def schema_of(folder: Folder, extras: Collection[str] = ()) -> pa.Schema:
    """Return the schema of a folder's shards, with these of EXTRAS."""
    keys = [("id", _TEXT), ("source", _TEXT)]
    if folder == "rejected":
        return pa.schema([*keys, *((name, _TEXT) for name in ("reason", "evidence", "row"))])
    given = [(name, kind) for name, kind in _OF_MESSAGES.items() if name in extras]
    messages = pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT), *given]))
    last = [("label", pa.bool_())] if folder == "kto" else []
    tools = [(TOOLS, _TEXT)] if TOOLS in extras else []
    return pa.schema([*keys, *((name, messages) for name in _LISTS[folder]), *last, *tools])


SCHEMAS: dict[Folder, pa.Schema] = {folder: schema_of(folder) for folder in ("sft", "dpo", "kto", "rejected")}


def is_schema_of(folder: Folder, schema: pa.Schema) -> bool:
    """Tell whether shards of a folder can have this schema."""
    lists = [field.type.value_type for field in schema if pa.types.is_list(field.type)]
    structs = [kind for kind in lists if pa.types.is_struct(kind)]
    names = {*schema.names, *(field.name for kind in structs for field in kind)}
    return bool(schema == schema_of(folder, names))


def extras_of(rows: Sequence[Row]) -> set[str]:
    """Return those of EXTRAS that some of the rows need."""
    found = {TOOLS} if any(row.tools for row in rows) else set()
    messages = list(chain.from_iterable(map(all_messages, rows)))
    is_plain = set(map(len, messages)) <= {2}
    return found if is_plain else found.union(*messages) & set(EXTRAS)


def to_bits(extras: Collection[str]) -> int:
    """Return a number that stands for some of EXTRAS."""
    return sum(1 << place for place, name in enumerate(EXTRAS) if name in extras)


def from_bits(bits: int) -> set[str]:
    """Return what `to_bits` was given."""
    return {name for place, name in enumerate(EXTRAS) if bits >> place & 1}


def to_table(folder: Folder, rows: Sequence[Any], extras: Collection[str] = ()) -> pa.Table:
    """Return rows of one kind, or rejected ones as dicts, as a table in the schema of their shards."""
    if folder == "rejected":
        return pa.Table.from_pylist(list(rows), schema=SCHEMAS[folder])
    schema = schema_of(folder, extras)
    columns = (_column([getattr(row, field.name) for row in rows], field.type) for field in schema)
    return pa.Table.from_arrays(list(columns), schema=schema)


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_list(kind):
        return pa.array(values, kind)
    # Five times as fast as leaving lists of dicts to pyarrow.
    messages, (role, content, *others) = list(chain.from_iterable(values)), list(kind.value_type)
    fields = [pa.array(map(itemgetter(part.name), messages), part.type) for part in (role, content)]
    fields += [pa.array([message.get(part.name) for message in messages], part.type) for part in others]
    offsets = pa.array(accumulate(map(len, values), initial=0), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(fields, fields=list(kind.value_type)))


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the columns of a schema; what the table has no column for is null."""
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(schema.names).cast(schema)


def from_shard(fields: Mapping[str, Any]) -> Row:
    """Return a row of a shard, given by its columns."""
    kind = Conversation if "messages" in fields else Labelled if "label" in fields else Preference
    columns: Any = {name: _given(value) if isinstance(value, list) else value for name, value in fields.items()}
    return kind(**columns)


def _given(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in message.items() if value is not None} for message in messages]
