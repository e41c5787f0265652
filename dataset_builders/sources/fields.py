"""Typed access to the fields of a raw row."""

from collections.abc import Mapping
from typing import Any, TypeVar

from dataset_builders.rows import Message
from rabbit_ko.errors import Rejected

T = TypeVar("T")
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


class WrongType(ValueError):
    """A field does not hold what its source promises; the message names the field and both types."""


def text(row: RawRow, field: str) -> str:
    """Return a text field; an absent or null one is empty.

    Raises WrongType where it is no text, Rejected where it holds half a surrogate pair, which no file can hold.
    """
    value = row.get(field)
    content = _of_type(str, "" if value is None else value, field, "text")
    try:
        content.encode()
    except UnicodeEncodeError:
        raise Rejected("broken unicode") from None
    return content


def turns(row: RawRow, field: str, role: str, content: str) -> list[Message]:
    """Return a list of turns whose speaker and words stand under the keys `role` and `content`.

    Raises WrongType where a turn is not of that shape, Rejected where a speaker is unknown.
    """
    value = row.get(field)
    return [
        turn(item, field, role, content) for item in _of_type(list, [] if value is None else value, field, "a list")
    ]


def turn(value: Any, field: str, role: str, content: str) -> Message:
    """Return one turn; see `turns`."""
    item = _of_type(dict, value, field, f"made of objects with `{role}` and `{content}`")
    if missing := {role, content} - item.keys():
        raise WrongType(f"`{field}` has a turn without `{min(missing)}`")
    if (speaker := ROLES.get(str(item[role]).lower())) is None:
        raise Rejected("unknown role")
    return Message(role=speaker, content=text(item, content))


def _of_type(kind: type[T], value: Any, field: str, expected: str) -> T:
    if not isinstance(value, kind):
        raise WrongType(f"`{field}` must be {expected}, not {type(value).__name__}")
    return value
