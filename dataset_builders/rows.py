"""The rows of the shards: their types and schemas, the rule that their messages obey, and their ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any, Literal, NotRequired, TypedDict

import pyarrow as pa
import xxhash

from dataset_builders.ids import printable_id
from prompt_strategies.messages import find_order_mistake
from rabbit_ko.errors import Rejected
from rabbit_ko.methods import RowKind

GREETING = "greeting before the first question"

Folder = Literal["sft", "dpo", "kto", "rejected"]


class Message(TypedDict):
    """One turn; `role` is system, user or assistant. An answer with a `weight` of 0 is context and never a target."""

    role: str
    content: str
    weight: NotRequired[int]


@dataclass(frozen=True)
class Conversation:
    """An SFT row: at most one system message, first, then user and assistant in turn, ending with assistant.

    notes: what became of the raw row on the way, to be counted; it is in no shard.
    """

    id: str
    source: str
    messages: list[Message]
    notes: tuple[str, ...] = field(default=(), compare=False)

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
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Labelled:
    """A KTO row: a prompt that ends with the user's question, an answer of one assistant message, and its label."""

    id: str
    source: str
    prompt: list[Message]
    completion: list[Message]
    label: bool
    notes: tuple[str, ...] = field(default=(), compare=False)


Row = Conversation | Preference | Labelled

_ROLE_AND_CONTENT = [("role", pa.string()), ("content", pa.string())]
_MESSAGES = pa.list_(pa.struct(_ROLE_AND_CONTENT))
_WEIGHTED = pa.list_(pa.struct([*_ROLE_AND_CONTENT, ("weight", pa.int8())]))
_KEYS = [("id", pa.string()), ("source", pa.string())]
SCHEMAS: dict[Folder, pa.Schema] = {
    "sft": pa.schema([*_KEYS, ("messages", _MESSAGES)]),
    "dpo": pa.schema([*_KEYS, ("prompt", _MESSAGES), ("chosen", _MESSAGES), ("rejected", _MESSAGES)]),
    "kto": pa.schema([*_KEYS, ("prompt", _MESSAGES), ("completion", _MESSAGES), ("label", pa.bool_())]),
    "rejected": pa.schema([*_KEYS, *((name, pa.string()) for name in ("reason", "evidence", "row"))]),
}
# That of SFT shards where a row of them has an answer with a weight of 0.
WEIGHTED_SCHEMA = pa.schema([*_KEYS, ("messages", _WEIGHTED)])
_KINDS: dict[type[Row], RowKind] = {Conversation: "sft", Preference: "dpo", Labelled: "kto"}


def kind_of(row: Row) -> RowKind:
    """Return the kind of a row, which is the folder of its shard."""
    return _KINDS[type(row)]


def from_shard(fields: Mapping[str, Any]) -> Row:
    """Return a row of a shard, given by its columns."""
    kind = Conversation if "messages" in fields else Labelled if "label" in fields else Preference
    return kind(**fields)


def all_messages(row: Row) -> list[Message]:
    """Return every message of a row; the last two of a preference are its chosen and its rejected answer."""
    if isinstance(row, Conversation):
        return row.messages
    answers = row.completion if isinstance(row, Labelled) else row.chosen + row.rejected
    return row.prompt + answers


def message_lists(row: Row) -> dict[str, Any]:
    """Return the columns of a row that hold messages."""
    return {name: value for name, value in vars(row).items() if isinstance(value, list)}


def content_of(row: Row) -> str:
    """Return a text that is the same for rows that say and teach the same."""
    if isinstance(row, Labelled):
        return f"{chr(0).join(contents(all_messages(row)))}\0{row.label}"
    return said_by(all_messages(row))


def said_by(messages: Sequence[Message]) -> str:
    """Return a text that is the same for messages that say and teach the same."""
    said = "\0".join([message["content"] for message in messages])
    return f"{said}\0{[*map(len, messages)]}" if sum(map(len, messages)) > 2 * len(messages) else said


def is_weighted(row: Row) -> bool:
    """Tell whether a row has an answer that is no target."""
    return isinstance(row, Conversation) and any("weight" in message for message in row.messages)


def contents(messages: Sequence[Message]) -> list[str]:
    """Return what the messages say."""
    return [message["content"] for message in messages]


def to_table(folder: Folder, rows: Sequence[Any]) -> pa.Table:
    """Return rows of one kind, or rejected ones as dicts, as a table in the schema of their shards."""
    if folder == "rejected":
        return pa.Table.from_pylist(list(rows), schema=SCHEMAS[folder])
    columns = {name: [getattr(row, name) for row in rows] for name in SCHEMAS[folder].names}
    is_plain = folder != "sft" or set(map(len, chain.from_iterable(columns["messages"]))) <= {2}
    schema = SCHEMAS[folder] if is_plain else WEIGHTED_SCHEMA
    return pa.Table.from_arrays([_column(columns[field.name], field.type) for field in schema], schema=schema)


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_list(kind):
        return pa.array(values, kind)
    # Five times as fast as leaving lists of dicts to pyarrow.
    messages, parts = list(chain.from_iterable(values)), list(kind.value_type)
    fields = [pa.array(map(itemgetter(name), messages), pa.string()) for name in ("role", "content")]
    if len(parts) > len(fields):
        fields.append(pa.array([message.get("weight") for message in messages], parts[-1].type))
    offsets = pa.array(accumulate(map(len, values), initial=0), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(fields, fields=parts))


def system(content: str) -> list[Message]:
    """Return a system message, or nothing where the content is blank."""
    return [{"role": "system", "content": content}] if content.strip() else []


def user(content: str) -> Message:
    """Return a user's message."""
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    """Return an assistant's message."""
    return {"role": "assistant", "content": content}


def conversation(key: str, source: str, messages: Sequence[Message], notes: tuple[str, ...] = ()) -> Conversation:
    """Make an SFT row; turns after the last answer that is a target are dropped.

    Raises Rejected where that is no conversation.
    """
    end = len(messages)
    while end and (messages[end - 1]["role"] != "assistant" or "weight" in messages[end - 1]):
        end -= 1
    if not end:
        has_answer = any(message["role"] == "assistant" for message in messages)
        raise Rejected("no answer is to be trained: `weight` is 0, or `train` false" if has_answer else "no answer")
    return Conversation(key, source, in_order(messages[:end], last="assistant"), notes)


def preference(key: str, source: str, prompt: Sequence[Message], chosen: str, rejected: str) -> Preference:
    """Make a DPO row. Raises Rejected where an answer is empty, both are the same, or the prompt is none."""
    prompt, notes = as_prompt(prompt)
    for side, answer in (("chosen", chosen), ("rejected", rejected)):
        if not answer.strip():
            raise Rejected(f"empty {side}")
    if chosen.strip() == rejected.strip():
        raise Rejected("chosen equals rejected")
    return Preference(key, source, prompt, [assistant(chosen)], [assistant(rejected)], notes)


def labelled(key: str, source: str, prompt: Sequence[Message], completion: str, label: bool) -> Labelled:
    """Make a KTO row. Raises Rejected where the answer is empty, or the prompt is none."""
    prompt, notes = as_prompt(prompt)
    if not completion.strip():
        raise Rejected("empty completion")
    return Labelled(key, source, prompt, [assistant(completion)], label, notes)


def as_prompt(messages: Sequence[Message]) -> tuple[list[Message], tuple[str, ...]]:
    """Return a prompt whose answers, none of which is a target, have no weight, and notes. Raises Rejected."""
    messages, notes = without_greeting(messages)
    messages = [Message(role=message["role"], content=message["content"]) for message in messages]
    return in_order(messages, last="user"), notes


def without_greeting(messages: Sequence[Message]) -> tuple[Sequence[Message], tuple[str, ...]]:
    """Return messages without an answer in front of the first question, and a note where there was one."""
    first = 1 if messages and messages[0]["role"] == "system" else 0
    if len(messages) < first + 2 or messages[first]["role"] != "assistant" or messages[first + 1]["role"] != "user":
        return messages, ()
    return [*messages[:first], *messages[first + 1 :]], (GREETING,)


def in_order(messages: Sequence[Message], last: str) -> list[Message]:
    """Return messages without a blank system one. Raises Rejected where roles are out of order or a turn is blank."""
    if mistake := find_order_mistake(messages, last):
        if any(message["role"] == "system" for message in messages[1:]):
            is_second = messages[0]["role"] == "system"
            raise Rejected("more than one system message" if is_second else "a system message after the first turn")
        raise Rejected(mistake)
    is_blank = messages[0]["role"] == "system" and not messages[0]["content"].strip()
    return list(messages[1:] if is_blank else messages)


def row_id(source: str, contents: Sequence[str], upstream: Any = None) -> str:
    """Return `<source>/<upstream id>`, or `<source>/<16 hex digits for the contents>` where upstream has none."""
    return f"{source}/{printable_id(upstream) or xxhash.xxh3_64_hexdigest(chr(0).join(contents).encode())}"
