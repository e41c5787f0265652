"""Conversations: which of their answers are targets, how they get shorter, and the order of their turns.

A message has `role` and `content`, and an assistant's may have `reasoning_content` and `tool_calls`: the list that
OpenAI's API has, in JSON. Results of calls follow as messages of the role `tool`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Messages = Sequence[Mapping[str, Any]]
Targets = Callable[[Messages], Iterator[Messages]]

_FOLLOWS = {"user": ("assistant",), "assistant": ("user",), "call": ("tool",), "tool": ("tool", "assistant")}


def last_answer(messages: Messages) -> Iterator[Messages]:
    """Yield the whole conversation, whose last answer is the target, and before that each call that led to it."""
    last_question = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=0)
    for target in every_answer(messages[:-1]):
        if len(target) > last_question:
            yield target
    yield messages


def every_answer(messages: Messages) -> Iterator[Messages]:
    """Yield one conversation for each answer, which is its target, with all turns before it as history.

    An answer with a weight of 0 is history alone.
    """
    for position, message in enumerate(messages, start=1):
        if message["role"] == "assistant" and message.get("weight") != 0:
            yield messages[:position]


def split_system(messages: Messages) -> tuple[str, Messages]:
    """Return the stripped system prompt, empty where there is none, and the turns."""
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"].strip(), messages[1:]
    return "", messages


def without_oldest_exchange(messages: Messages) -> Messages | None:
    """Drop a prompt's first question and all up to its second one; None where there is only one."""
    questions = [at for at, message in enumerate(messages) if message["role"] == "user"]
    return [*messages[: questions[0]], *messages[questions[1] :]] if len(questions) > 1 else None


def find_order_mistake(messages: Messages, last: str) -> str | None:
    """Return `roles out of order` or `empty turn`, or None where messages are a conversation that ends with `last`.

    That is: at most one system message, first, then user and assistant in turn; after an answer with calls, results
    of tools and the next answer. Only results and answers with calls may be blank. A prompt, which ends with `user`,
    may end with results as well.
    """
    _, turns = split_system(messages)
    kinds = ["call" if _has_calls(turn) else turn["role"] for turn in turns]
    ends = {"user": ("user", "tool"), "assistant": ("assistant", "call")}[last]
    roles = [turn["role"] for turn in turns]
    if roles[:1] != ["user"] or kinds[-1] not in ends:
        return "roles out of order"
    if any(role not in _FOLLOWS.get(kind, ()) for kind, role in zip(kinds, roles[1:], strict=False)):
        return "roles out of order"
    spoken = (turn for turn, kind in zip(turns, kinds, strict=True) if kind in ("user", "assistant"))
    return None if all((turn["content"] or "").strip() for turn in spoken) else "empty turn"


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a message's calls of tools as objects."""
    calls = message.get("tool_calls")
    return json.loads(calls) if isinstance(calls, str) and calls else calls or []


def _has_calls(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and bool(message.get("tool_calls"))


def is_plain(messages: Messages) -> bool:
    """Tell whether messages have neither reasoning nor calls of tools nor their results."""
    return not any(
        message["role"] == "tool" or message.get("tool_calls") or message.get("reasoning_content")
        for message in messages
    )
