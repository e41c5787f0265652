"""The text of the prompt, which is written nowhere else, and the turns that it is made of.

Training, the chat template of the saved tokenizer and evaluation derive from TEMPLATES; a new template is one entry.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rabbit_ko.errors import UserError, suggest
from rabbit_ko.hashing import source_digest
from rabbit_ko.methods import RowKind

Messages = Sequence[Mapping[str, Any]]
Targets = Callable[[Messages], Iterator[Messages]]


@dataclass(frozen=True)
class Template:
    """An `exchange` for each earlier turn, `question`, `instruction` where there is a system message, `response`.

    `{user}`, `{system}` and `{assistant}` stand for a message's stripped content.
    """

    exchange: str
    question: str
    instruction: str
    response: str


def _with_headings(question: str, instruction: str, response: str) -> Template:
    return Template(
        exchange=f"### {question}:\n{{user}}\n### {response}:\n{{assistant}}\n",
        question=f"### {question}:\n{{user}}\n\n",
        instruction=f"### {instruction}:\n{{system}}\n\n",
        response=f"### {response}:\n",
    )


TEMPLATES = {
    "qir": _with_headings("Question", "Instruction", "Response"),
    "iir": _with_headings("Instruction", "Input", "Response"),
}
QIR, IIR = TEMPLATES["qir"], TEMPLATES["iir"]
# The headings of all templates: none of them may stand in a message.
_PARTS = "".join(part for each in TEMPLATES.values() for part in astuple(each))
LABELS = sorted(set(re.findall("### ([^#\n]+):", _PARTS)))


def last_answer(messages: Messages) -> Iterator[Messages]:
    """Yield the whole conversation: the last answer is the target, the turns before it are history."""
    yield messages


def every_answer(messages: Messages) -> Iterator[Messages]:
    """Yield one conversation for each answer, which is its target, with all turns before it as history.

    An answer with a weight of 0 is history alone.
    """
    for position, message in enumerate(messages, start=1):
        if message["role"] == "assistant" and message.get("weight") != 0:
            yield messages[:position]


# What follows a template's name in the `type` of conversations, and in that of preferences.
TARGETS: dict[str, Targets] = {"": last_answer, "_every_turn": every_answer}
PREFERENCES = "_dpo"


def types_of(rows: RowKind) -> dict[str, Template]:
    """Return the `type`s that a dataset entry with such rows can have, such as `prompt_strategies.qir`."""
    suffixes = TARGETS if rows == "sft" else (PREFERENCES,)
    return {f"prompt_strategies.{name}{suffix}": TEMPLATES[name] for name in TEMPLATES for suffix in suffixes}


def template_for(kind: str) -> Template:
    """Return the template that a dataset entry's `type` asks for. Raises UserError where it is unknown."""
    known = {**types_of("sft"), **types_of("dpo")}
    if kind not in known:
        raise UserError(f"type: `{kind}` is not a prompt of this project{suggest(kind, known)}")
    return known[kind]


@cache
def source_fingerprint() -> str:
    """Return a hash of the source of this package, so that a cache made by other code is never met."""
    return source_digest(Path(__file__).parent.glob("*.py"))


def render_prompt(template: Template, messages: Messages) -> str:
    """Render what the model reads before it answers, without BOS; `messages` end with the user's question."""
    system, turns = _split_system(messages)
    contents = [turn["content"].strip() for turn in turns]
    earlier = zip(contents[:-1:2], contents[1::2], strict=True)
    prompt = "".join(template.exchange.format(user=user, assistant=assistant) for user, assistant in earlier)
    prompt += template.question.format(user=contents[-1])
    return prompt + (template.instruction.format(system=system) if system else "") + template.response


def render_answer(message: Mapping[str, Any]) -> str:
    """Render an assistant message as the text that is trained, without EOS."""
    answer: str = message["content"].strip()
    return answer


def _split_system(messages: Messages) -> tuple[str, Messages]:
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"].strip(), messages[1:]
    return "", messages


def without_oldest_exchange(messages: Messages) -> Messages | None:
    """Drop the first user and assistant turn of a prompt; None where only the question is left."""
    first_turn = 1 if messages[0]["role"] == "system" else 0
    if len(messages) - first_turn < 3:
        return None
    return [*messages[:first_turn], *messages[first_turn + 2 :]]


def find_order_mistake(messages: Messages, last: str) -> str | None:
    """Return `roles out of order` or `empty turn`, or None where messages are a conversation that ends with `last`.

    That is: at most one system message, first, then user and assistant in turn, none of them blank.
    """
    _, turns = _split_system(messages)
    expected = ["user", "assistant"] * (len(turns) // 2 + 1)
    if not turns or turns[-1]["role"] != last or [turn["role"] for turn in turns] != expected[: len(turns)]:
        return "roles out of order"
    return None if all(turn["content"].strip() for turn in turns) else "empty turn"
