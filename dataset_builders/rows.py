"""The rows of the shards: their types, the rule that their messages obey, and their ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import xxhash

from dataset_builders.calls import by_calls, find_call_mistake
from dataset_builders.ids import printable_id
from prompt_strategies.messages import calls_of, find_order_mistake
from rabbit_ko.errors import Rejected
from rabbit_ko.methods import RowKind

GREETING = "greeting before the first question"
REASONING, CALLS = "reasoning_content", "tool_calls"
# The texts of a message beside its content.
_TEXTS = (REASONING, CALLS, "tool_call_id")


class Message(TypedDict):
    """One turn; `role` is system, user, assistant or tool. The fields beside `content` are there where they say more.

    weight: 0 for an answer that is context and never a target. reasoning_content: the thoughts before an answer.
    tool_calls: JSON of `[{"type": "function", "id": ..., "function": {"name": ..., "arguments": {...}}}]`, in which
    the id is not always there. tool_call_id: of a tool's result, that of its call.
    """

    role: str
    content: str
    weight: NotRequired[int]
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[str]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True)
class Conversation:
    """An SFT row: at most one system message, first, then user and assistant in turn, ending with assistant.

    Results of tools stand between a call and the next answer. tools: JSON of their definitions. notes: what became of
    the raw row on the way, to be counted; it is in no shard.
    """

    id: str
    source: str
    messages: list[Message]
    tools: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]


@dataclass(frozen=True)
class Preference:
    """A DPO row: a prompt that ends with a question or results of tools, and two answers of one message each."""

    id: str
    source: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    tools: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Labelled:
    """A KTO row: a prompt as in a DPO row, an answer of one assistant message, and its label."""

    id: str
    source: str
    prompt: list[Message]
    completion: list[Message]
    label: bool
    tools: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)


Row = Conversation | Preference | Labelled

_KINDS: dict[type[Row], RowKind] = {Conversation: "sft", Preference: "dpo", Labelled: "kto"}


def kind_of(row: Row) -> RowKind:
    """Return the kind of a row, which is the folder of its shard."""
    return _KINDS[type(row)]


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
    said = said_by(all_messages(row), row.tools)
    return f"{said}\0{row.label}" if isinstance(row, Labelled) else said


def said_by(messages: Sequence[Message], tools: str | None = None) -> str:
    """Return a text that is the same for messages that say and teach the same with the same tools."""
    said = "\0".join(contents(messages))
    if has_extras(messages):
        told = (f"{at} {name} {turn[name]}" for at, turn in enumerate(messages) for name in _TEXTS if name in turn)  # type: ignore[literal-required]
        said = "\0".join([said, str([*map(len, messages)]), *told])
    return f"{said}\0{tools}" if tools else said


def asked(prompt: Sequence[Message], system_prompt: str) -> str:
    """Return what a prompt asks; a system prompt that the recipe adds to some rows is no part of it."""
    is_added = prompt[0]["role"] == "system" and prompt[0]["content"].strip() == system_prompt.strip()
    return said_by(prompt[is_added:])


def has_extras(messages: Sequence[Message]) -> bool:
    """Tell whether a message has more than a role and a content."""
    return sum(map(len, messages)) > 2 * len(messages)


def spoken(messages: Sequence[Message]) -> list[Message]:
    """Return messages with all their texts as contents: reasoning and calls are messages of roles of those names."""
    if not has_extras(messages):
        return list(messages)
    said = []
    for message in messages:
        others = [(name, message.get(name)) for name in (REASONING, CALLS)]
        said += [Message(role=name, content=str(text)) for name, text in others if text]
        said.append(Message(role=message["role"], content=message["content"]))
    return said


def contents(messages: Sequence[Message]) -> list[str]:
    """Return what the messages say."""
    return [message["content"] for message in messages]


def system(content: str) -> list[Message]:
    """Return a system message, or nothing where the content is blank."""
    return [{"role": "system", "content": content}] if content.strip() else []


def user(content: str) -> Message:
    """Return a user's message."""
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    """Return an assistant's message."""
    return {"role": "assistant", "content": content}


def conversation(
    key: str, source: str, messages: Sequence[Message], notes: tuple[str, ...] = (), tools: str | None = None
) -> Conversation:
    """Make an SFT row; turns after the last answer that is a target are dropped.

    Raises Rejected where that is no conversation.
    """
    end = len(messages)
    while end and (messages[end - 1]["role"] != "assistant" or "weight" in messages[end - 1]):
        end -= 1
    if not end:
        has_answer = any(message["role"] == "assistant" for message in messages)
        raise Rejected("no answer is to be trained: `weight` is 0, or `train` false" if has_answer else "no answer")
    return Conversation(key, source, in_order(messages[:end], last="assistant"), tools, notes)


def preference(
    key: str, source: str, prompt: Sequence[Message], chosen: Message, rejected: Message, tools: str | None = None
) -> Preference:
    """Make a DPO row. Raises Rejected where an answer is empty, both are the same, or the prompt is none."""
    prompt, notes = as_prompt(prompt)
    for side, answer in (("chosen", chosen), ("rejected", rejected)):
        if _is_empty(answer):
            raise Rejected(f"empty {side}")
    if _answered(chosen) == _answered(rejected):
        raise Rejected("chosen equals rejected")
    return Preference(key, source, prompt, [chosen], [rejected], tools, notes)


def labelled(
    key: str, source: str, prompt: Sequence[Message], completion: Message, label: bool, tools: str | None = None
) -> Labelled:
    """Make a KTO row. Raises Rejected where the answer is empty, or the prompt is none."""
    prompt, notes = as_prompt(prompt)
    if _is_empty(completion):
        raise Rejected("empty completion")
    return Labelled(key, source, prompt, [completion], label, tools, notes)


def _is_empty(answer: Message) -> bool:
    return not answer["content"].strip() and CALLS not in answer


def _answered(answer: Message) -> tuple[Any, ...]:
    functions = [call["function"] for call in calls_of(answer)]
    return answer["content"].strip(), answer.get(REASONING), functions


def as_prompt(messages: Sequence[Message]) -> tuple[list[Message], tuple[str, ...]]:
    """Return a prompt whose answers, none of which is a target, have no weight, and notes. Raises Rejected."""
    messages, notes = without_greeting(messages)
    return in_order(without_weights(messages), last="user"), notes


def without_weights(messages: Sequence[Message]) -> list[Message]:
    """Return messages without what says which of them are targets."""
    return [{name: value for name, value in message.items() if name != "weight"} for message in messages]  # type: ignore[misc]


def without_greeting(messages: Sequence[Message]) -> tuple[Sequence[Message], tuple[str, ...]]:
    """Return messages without an answer in front of the first question, and a note where there was one."""
    first = 1 if messages and messages[0]["role"] == "system" else 0
    if len(messages) < first + 2 or messages[first]["role"] != "assistant" or messages[first + 1]["role"] != "user":
        return messages, ()
    return [*messages[:first], *messages[first + 1 :]], (GREETING,)


def in_order(messages: Sequence[Message], last: str) -> list[Message]:
    """Return messages without a blank system one. Raises Rejected where roles are out of order or a turn is blank."""
    mistake = find_order_mistake(messages, last)
    if (mistake or has_extras(messages)) and (called := find_call_mistake(messages, last)):
        raise Rejected(called)
    if mistake:
        if any(message["role"] == "system" for message in messages[1:]):
            is_second = messages[0]["role"] == "system"
            raise Rejected("more than one system message" if is_second else "a system message after the first turn")
        raise Rejected(mistake)
    is_blank = messages[0]["role"] == "system" and not messages[0]["content"].strip()
    said = messages[1:] if is_blank else messages
    return by_calls(said) if has_extras(said) else list(said)


def row_id(source: str, contents: Sequence[str], upstream: Any = None) -> str:
    """Return `<source>/<upstream id>`, or `<source>/<16 hex digits for the contents>` where upstream has none."""
    return f"{source}/{printable_id(upstream) or xxhash.xxh3_64_hexdigest(chr(0).join(contents).encode())}"
