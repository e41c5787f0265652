"""The rows of the shards: their types and schemas, the rule that their messages obey, and their ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, Literal, TypedDict

import pyarrow as pa
import xxhash

from prompt_strategies.template import find_order_mistake
from rabbit_ko.errors import Rejected
from rabbit_ko.methods import RowKind

Folder = Literal["sft", "dpo", "rejected"]


class Message(TypedDict):
    """One turn; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """An SFT row: at most one system message, first, then user and assistant in turn, ending with assistant."""

    id: str
    source: str
    messages: list[Message]

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]


@dataclass(frozen=True)
class Preference:
    """A DPO row: a prompt that ends with the user's question, and two answers of one assistant message each."""

    id: str
    source: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]


Row = Conversation | Preference

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_KEYS = [("id", pa.string()), ("source", pa.string())]
SCHEMAS: dict[Folder, pa.Schema] = {
    "sft": pa.schema([*_KEYS, ("messages", _MESSAGES)]),
    "dpo": pa.schema([*_KEYS, ("prompt", _MESSAGES), ("chosen", _MESSAGES), ("rejected", _MESSAGES)]),
    "rejected": pa.schema([*_KEYS, *((name, pa.string()) for name in ("reason", "evidence", "row"))]),
}


def kind_of(row: Row) -> RowKind:
    """Return the kind of a row, which is the folder of its shard."""
    return "sft" if isinstance(row, Conversation) else "dpo"


def all_messages(row: Row) -> list[Message]:
    """Return every message of a row; the last two of a preference are its chosen and its rejected answer."""
    return row.messages if isinstance(row, Conversation) else [*row.prompt, *row.chosen, *row.rejected]


def message_lists(row: Row) -> dict[str, Any]:
    """Return the columns of a row that hold messages."""
    return {name: value for name, value in vars(row).items() if name not in ("id", "source")}


def contents(messages: Sequence[Message]) -> list[str]:
    """Return what the messages say."""
    return [message["content"] for message in messages]


def to_table(folder: Folder, rows: Sequence[Any]) -> pa.Table:
    """Return rows of one kind, or rejected ones as dicts, as a table in the schema of their shards."""
    schema = SCHEMAS[folder]
    if folder == "rejected":
        return pa.Table.from_pylist(list(rows), schema=schema)
    columns = [[getattr(row, name) for row in rows] for name in schema.names]
    arrays = [_message_column(values) for values in columns[2:]]
    return pa.Table.from_arrays([*map(pa.array, columns[:2]), *arrays], schema=schema)


def _message_column(values: Sequence[list[Message]]) -> pa.ListArray:
    # Five times as fast as leaving lists of dicts to pyarrow.
    messages = list(chain.from_iterable(values))
    fields = [pa.array([message[key] for message in messages], pa.string()) for key in ("role", "content")]
    offsets = pa.array(accumulate(map(len, values), initial=0), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(fields, ["role", "content"]))


def system(content: str) -> list[Message]:
    """Return a system message, or nothing where the content is blank."""
    return [Message(role="system", content=content)] if content.strip() else []


def user(content: str) -> Message:
    """Return a user's message."""
    return Message(role="user", content=content)


def assistant(content: str) -> Message:
    """Return an assistant's message."""
    return Message(role="assistant", content=content)


def conversation(key: str, source: str, messages: Sequence[Message]) -> Conversation:
    """Make an SFT row; turns after the last answer are dropped. Raises Rejected where that is no conversation."""
    ends = [end for end, message in enumerate(messages, start=1) if message["role"] == "assistant"]
    if not ends:
        raise Rejected("no answer")
    return Conversation(key, source, in_order(messages[: ends[-1]], last="assistant"))


def preference(key: str, source: str, prompt: Sequence[Message], chosen: str, rejected: str) -> Preference:
    """Make a DPO row. Raises Rejected where an answer is empty, both are the same, or the prompt is none."""
    prompt = in_order(prompt, last="user")
    for side, answer in (("chosen", chosen), ("rejected", rejected)):
        if not answer.strip():
            raise Rejected(f"empty {side}")
    if chosen.strip() == rejected.strip():
        raise Rejected("chosen equals rejected")
    return Preference(key, source, prompt, [assistant(chosen)], [assistant(rejected)])


def in_order(messages: Sequence[Message], last: str) -> list[Message]:
    """Return messages without a blank system one. Raises Rejected where roles are out of order or a turn is blank."""
    if mistake := find_order_mistake(messages, last):
        raise Rejected(mistake)
    is_blank = messages[0]["role"] == "system" and not messages[0]["content"].strip()
    return list(messages[1:] if is_blank else messages)


def row_id(source: str, contents: Sequence[str], upstream: Any = None) -> str:
    """Return `<source>/<upstream id>`, or `<source>/<16 hex digits for the contents>` where upstream has none."""
    if upstream in (None, "") or upstream != upstream:  # a missing number in parquet is NaN
        upstream = xxhash.xxh3_64_hexdigest("\0".join(contents).encode())
    return f"{source}/{upstream}"
