"""What a source is, typed access to the fields of its raw rows, and the shapes that several sources share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataset_builders.licenses import NONE, License
from dataset_builders.rows import Message, Row, assistant, contents, conversation, preference, row_id, system, user
from rabbit_ko.errors import Rejected
from rabbit_ko.methods import RowKind

RawRow = Mapping[str, Any]

_USERS, _ASSISTANTS = ("human", "user", "prompter"), ("gpt", "assistant", "chatgpt", "bot")
ROLES = {"system": "system"} | dict.fromkeys(_USERS, "user") | dict.fromkeys(_ASSISTANTS, "assistant")


@dataclass(frozen=True, kw_only=True)
class Source:
    """How raw rows become rows of the kind `rows`: the fields that they must and may have, and a rule.

    convert: a raw row by those fields, and the name in ids, to a row; it raises Rejected. upstream_rows: as its page
    says. translated: by a machine.
    """

    rows: RowKind
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    convert: Callable[[RawRow, str], Row]
    license: License = NONE
    upstream_rows: int | None = None
    translated: bool = False


def text(row: RawRow, field: str) -> str:
    """Return a text field; an absent or null one is empty. Raises Rejected where it is no text, or broken unicode."""
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
    """Return turns, whose speaker and words stand under the keys `role` and `content`. Raises Rejected."""
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
    """Return the rule for a question, with a context after it, and an answer, or a chosen and a rejected one."""

    def convert(row: RawRow, source: str) -> Row:
        question = text(row, user_field)
        if context and (given := text(row, context)).strip():
            question = f"{question}\n\n{given}"
        prompt = [*system(text(row, system_field)), user(question)] if system_field else [user(question)]
        answers = [text(row, name) for name in answer_fields]
        name = row_id(source, [*contents(prompt), *answers], upstream=row.get(key))
        if len(answers) == 1:
            return conversation(name, source, [*prompt, assistant(answers[0])])
        return preference(name, source, prompt, *answers)

    return convert


def turn_list(field: str, role: str, content: str) -> Callable[[RawRow, str], Row]:
    """Return the rule for a list of turns, as they stand up to the last answer, with `system` and `id` beside it."""

    def convert(row: RawRow, source: str) -> Row:
        messages = [*system(text(row, "system")), *turns(row, field, role, content)]
        return conversation(row_id(source, contents(messages), upstream=row.get("id")), source, messages)

    return convert
