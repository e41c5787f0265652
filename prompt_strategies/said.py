"""What messages say, calls of tools and their arguments included, and where it stands in a text."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from prompt_strategies.messages import calls_of

_KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id")


def find_place(content: str, text: str, start: int) -> int:
    """Return where a content stands in a text from `start` on, as it is or as in JSON; -1 where it does not."""
    place = text.find(content, start)
    return place if place >= 0 else text.find(json.dumps(content, ensure_ascii=False)[1:-1], start)


def as_given(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as a client gives it: without what it has not, and its calls as objects."""
    given = {"content": "", **{key: message[key] for key in _KEYS if message.get(key) is not None}}
    if calls := calls_of(message):
        given["tool_calls"] = calls
    return given


def call_texts(calls: list[dict[str, Any]]) -> list[str]:
    """Return the names of functions that are called, and the texts in their arguments."""
    functions = [call.get("function", call) for call in calls]
    return [part for each in functions for part in (str(each["name"]), *leaves(each.get("arguments")))]


def texts_of(message: Mapping[str, Any]) -> list[str]:
    """Return all that a message says."""
    said = (message["content"], message.get("reasoning_content"), message.get("tool_call_id"))
    return [*(text or "" for text in said), *leaves(calls_of(message))]


def leaves(value: Any) -> Iterator[str]:
    """Yield each text in a value of JSON, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from leaves([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)


def is_answer(message: Mapping[str, Any]) -> bool:
    """Tell whether a message is an assistant's, with content or a call."""
    return message["role"] == "assistant" and bool(message["content"].strip() or message.get("tool_calls"))
