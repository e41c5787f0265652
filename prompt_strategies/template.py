"""The text of the prompt: its headings, its blank lines, and the order of its parts.

This is the only place where that text is written. Training, preference tuning, the chat template of the saved
tokenizer and evaluation all derive from TEMPLATES; a new template is one entry there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prompt_strategies.turns import TARGETS, split_system
from rabbit_ko.errors import UserError, suggest
from rabbit_ko.hashing import source_digest
from rabbit_ko.methods import RowKind

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Template:
    """The parts of a prompt; `{user}`, `{system}` and `{assistant}` stand for a message's stripped content.

    A prompt is one `exchange` for each earlier turn, then `question`, then `instruction` where there is a system
    message, then `response`. The answer and the tokenizer's EOS follow.
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
LABELS = sorted(set(re.findall("### (.+):", "".join(part for each in TEMPLATES.values() for part in astuple(each)))))

# What follows a template's name in the `type` of preferences.
PREFERENCES = "_dpo"
_SUFFIXES: dict[RowKind, list[str]] = {"sft": list(TARGETS), "dpo": [PREFERENCES]}


def types_of(rows: RowKind) -> dict[str, Template]:
    """Return the `type`s that a dataset entry with such rows can have, such as `prompt_strategies.qir`."""
    return {
        f"prompt_strategies.{name}{suffix}": template
        for name, template in TEMPLATES.items()
        for suffix in _SUFFIXES[rows]
    }


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
    """Render what the model reads before it answers, without BOS.

    `messages` holds at most one system message, first, then user and assistant in turn, and ends with the user's
    question.
    """
    system, turns = split_system(messages)
    contents = [turn["content"].strip() for turn in turns]
    earlier = zip(contents[:-1:2], contents[1::2], strict=True)
    return "".join(
        [
            *(template.exchange.format(user=user, assistant=assistant) for user, assistant in earlier),
            template.question.format(user=contents[-1]),
            template.instruction.format(system=system) if system else "",
            template.response,
        ]
    )


def render_answer(message: Mapping[str, Any]) -> str:
    """Render an assistant message as the text that is trained, without EOS."""
    answer: str = message["content"].strip()
    return answer
