"""The turns of a conversation: their order, which answers are targets, and which go when it is too long."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_strategies.template import Messages

Targets = Callable[["Messages"], Iterator["Messages"]]


def last_answer(messages: "Messages") -> Iterator["Messages"]:
    """Yield the whole conversation: the last answer is the target, the turns before it are history."""
    yield messages


def every_answer(messages: "Messages") -> Iterator["Messages"]:
    """Yield one conversation for each answer, which is its target, with all turns before it as history."""
    for position, message in enumerate(messages, start=1):
        if message["role"] == "assistant":
            yield messages[:position]


# By what follows a template's name in the `type` of conversations.
TARGETS: dict[str, Targets] = {"": last_answer, "_every_turn": every_answer}


def split_system(messages: "Messages") -> tuple[str, "Messages"]:
    """Split into the stripped system text, empty where there is none, and the turns after it."""
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"].strip(), messages[1:]
    return "", messages


def without_oldest_exchange(messages: "Messages") -> "Messages | None":
    """Drop the first user and assistant turn of a prompt; None where only the question is left."""
    first_turn = 1 if messages[0]["role"] == "system" else 0
    if len(messages) - first_turn < 3:
        return None
    return [*messages[:first_turn], *messages[first_turn + 2 :]]


def find_order_mistake(messages: "Messages", last: str) -> str | None:
    """Return `roles out of order` or `empty turn`, or None where messages are a conversation that ends with `last`.

    That is: at most one system message, first, then user and assistant in turn, none of them blank.
    """
    _, turns = split_system(messages)
    expected = ["user", "assistant"] * (len(turns) // 2 + 1)
    if not turns or turns[-1]["role"] != last or [turn["role"] for turn in turns] != expected[: len(turns)]:
        return "roles out of order"
    return None if all(turn["content"].strip() for turn in turns) else "empty turn"
