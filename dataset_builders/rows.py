"""The rows of the shards: their types and schemas, the rule that their messages obey, and their ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, Literal, TypedDict

import pyarrow as pa
import xxhash

from rabbit_ko.errors import Rejected
from rabbit_ko.methods import RowKind

Stage = RowKind
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


@dataclass(frozen=True)
class RejectedRow:
    """A row that is dropped: why, what shows it, and the row itself as JSON, raw where it could not be converted."""

    id: str
    source: str
    reason: str
    evidence: str
    row: str


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


def message_lists(row: Row) -> dict[str, list[Message]]:
    """Return the columns of a row that hold messages."""
    return {name: value for name, value in vars(row).items() if name not in ("id", "source")}


def has_system(row: Row) -> bool:
    """Tell whether the row starts with a system message."""
    return row.prompt[0]["role"] == "system"


def is_multi_turn(row: Row) -> bool:
    """Tell whether an exchange comes before the row's question."""
    return len(row.prompt) - has_system(row) > 1


def to_table(folder: Folder, rows: Sequence[Row | RejectedRow]) -> pa.Table:
    """Return rows of one kind as a table in the schema of their shards."""
    columns = []
    for field in SCHEMAS[folder]:
        values = [getattr(row, field.name) for row in rows]
        columns.append(_message_lists(values) if field.type == _MESSAGES else pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=SCHEMAS[folder])


def _message_lists(values: Sequence[list[Message]]) -> pa.ListArray:
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
    """Make the SFT row with the id `key`; turns after the last answer are dropped.

    Raises Rejected where there is no answer, a turn is empty, or roles are out of order.
    """
    end = len(messages)
    while end and messages[end - 1]["role"] != "assistant":
        end -= 1
    if not end:
        raise Rejected("no answer")
    kept = _without_blank_system(messages[:end])
    check_order(kept, last="assistant")
    return Conversation(key, source, kept)


def preference(key: str, source: str, prompt: Sequence[Message], chosen: str, rejected: str) -> Preference:
    """Make the DPO row with the id `key`.

    Raises Rejected where an answer or a turn is empty, the answers are the same, or roles are out of order.
    """
    prompt = _without_blank_system(prompt)
    check_order(prompt, last="user")
    if not chosen.strip():
        raise Rejected("empty chosen")
    if not rejected.strip():
        raise Rejected("empty rejected")
    if chosen.strip() == rejected.strip():
        raise Rejected("chosen equals rejected")
    return Preference(key, source, prompt, [assistant(chosen)], [assistant(rejected)])


def check_order(messages: Sequence[Message], last: str) -> None:
    """Raise Rejected unless the roles are in order, the last one is `last`, and no turn is blank."""
    turns = messages[1:] if messages and messages[0]["role"] == "system" else messages
    expected = ["user", "assistant"] * (len(turns) // 2 + 1)
    if not turns or turns[-1]["role"] != last or [turn["role"] for turn in turns] != expected[: len(turns)]:
        raise Rejected("roles out of order")
    for turn in turns:
        if not turn["content"].strip():
            raise Rejected("empty turn")


def _without_blank_system(messages: Sequence[Message]) -> list[Message]:
    is_blank = bool(messages) and messages[0]["role"] == "system" and not messages[0]["content"].strip()
    return list(messages[1:] if is_blank else messages)


def row_id(source: str, contents: Sequence[str], upstream: Any = None) -> str:
    """Return `<source>/<upstream id>`, or `<source>/<16 hex digits for the contents>` where upstream has none."""
    if upstream in (None, "") or upstream != upstream:  # a missing number in parquet is NaN
        upstream = xxhash.xxh3_64_hexdigest("\0".join(contents).encode())
    return f"{source}/{upstream}"


def contents(messages: Sequence[Message]) -> list[str]:
    """Return what the messages say."""
    return [message["content"] for message in messages]
