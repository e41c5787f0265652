"""What a source is, typed access to the fields of its raw rows, and the shapes that several sources share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataset_builders.licenses import NONE, License
from dataset_builders.rows import (
    Conversation,
    Message,
    Row,
    assistant,
    contents,
    conversation,
    preference,
    row_id,
    system,
    user,
)
from rabbit_ko.errors import Rejected
from rabbit_ko.methods import RowKind

RawRow = Mapping[str, Any]

ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """How raw rows of one kind become rows of the shards.

    rows: the kind that they become. required, optional: the fields that a raw row must and may have. convert: a raw
    row by those fields, and the source's name in ids, to a row; it raises Rejected. license: that of the upstream
    data set; your own data has one only where `data.yaml` states it. upstream_rows: the rows of the upstream data
    set, as its page counts them. translated: whether upstream is a machine translation.
    """

    rows: RowKind
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    convert: Callable[[RawRow, str], Row]
    license: License = NONE
    upstream_rows: int | None = None
    translated: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        return self.required + self.optional


def text(row: RawRow, field: str) -> str:
    """Return a text field; an absent or null one is empty.

    Raises Rejected where it is no text, or holds half a surrogate pair, which no file can hold.
    """
    value = row.get(field)
    if value is None:
        return ""
    _check_type(value, str, field, "text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Rejected("broken unicode") from None
    return str(value)


def turns(row: RawRow, field: str, role: str, content: str) -> list[Message]:
    """Return a list of turns whose speaker and words stand under the keys `role` and `content`.

    Raises Rejected where a turn is not of that shape, or a speaker is unknown.
    """
    items = [] if row.get(field) is None else row[field]
    _check_type(items, list, field, "a list")
    return [turn(item, field, role, content) for item in items]


def turn(item: Any, field: str, role: str, content: str) -> Message:
    """Return one turn; see `turns`."""
    _check_type(item, dict, field, f"made of objects with `{role}` and `{content}`")
    if missing := {role, content} - item.keys():
        raise Rejected(f"`{field}` has a turn without `{min(missing)}`")
    if (speaker := ROLES.get(str(item[role]).lower())) is None:
        raise Rejected("unknown role")
    return Message(role=speaker, content=text(item, content))


def _check_type(value: Any, kind: type, field: str, expected: str) -> None:
    if not isinstance(value, kind):
        raise Rejected(f"`{field}` must be {expected}, not {type(value).__name__}")


def exchange(
    user_field: str, answer_fields: tuple[str, ...], *, system_field: str = "", context: str = "", key: str = ""
) -> Callable[[RawRow, str], Row]:
    """Return the rule for a question with one answer, or with two: the chosen and the rejected one.

    `context` comes behind the question, after a blank line; a blank context or system prompt is none. `key` is the
    upstream id. Fields that a source does not have are empty names.
    """

    def convert(row: RawRow, source: str) -> Row:
        question = text(row, user_field)
        if context and (behind := text(row, context)).strip():
            question = f"{question}\n\n{behind}"
        prompt = [*system(text(row, system_field)), user(question)] if system_field else [user(question)]
        answers = [text(row, name) for name in answer_fields]
        name = row_id(source, [*contents(prompt), *answers], upstream=row.get(key))
        if len(answers) == 1:
            return conversation(name, source, [*prompt, assistant(answers[0])])
        return preference(name, source, prompt, *answers)

    return convert


def turn_list(field: str, role: str, content: str) -> Callable[[RawRow, str], Conversation]:
    """Return the rule for a list of turns, as they stand up to the last answer, with `system` and `id` beside it."""

    def convert(row: RawRow, source: str) -> Conversation:
        messages = [*system(text(row, "system")), *turns(row, field, role, content)]
        return conversation(row_id(source, contents(messages), upstream=row.get("id")), source, messages)

    return convert
