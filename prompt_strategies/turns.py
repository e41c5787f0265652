"""The turns of a conversation: their order, which answers are targets, and which go when it is too long."""

from collections.abc import Iterator

from prompt_strategies.template import Messages


def last_answer(messages: Messages) -> Iterator[Messages]:
    """Yield the whole conversation: the last answer is the target, the turns before it are history."""
    yield messages


def every_answer(messages: Messages) -> Iterator[Messages]:
    """Yield one conversation for each answer, which is its target, with all turns before it as history."""
    for position, message in enumerate(messages, start=1):
        if message["role"] == "assistant":
            yield messages[:position]


def without_oldest_exchange(messages: Messages) -> Messages | None:
    """Drop the first user and assistant turn of a prompt; None where only the question is left."""
    first_turn = 1 if messages[0]["role"] == "system" else 0
    if len(messages) - first_turn < 3:
        return None
    return [*messages[:first_turn], *messages[first_turn + 2 :]]


def is_prompt(messages: Messages) -> bool:
    """Tell whether messages are: system (optional), then user and assistant in turn, ending with user, none empty."""
    turns = messages[1:] if messages and messages[0]["role"] == "system" else messages
    roles = [turn["role"] for turn in turns]
    expected = ["user", "assistant"] * (len(turns) // 2) + ["user"]
    return roles == expected and all(turn["content"].strip() for turn in turns)
