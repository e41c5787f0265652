"""The text of the prompt, which is written nowhere else, and the turns that it is made of.

Training, the chat template of the saved tokenizer and evaluation derive from TEMPLATES; a new template is one entry.
"""

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prompt_strategies.messages import Messages, Targets, every_answer, last_answer, split_system
from rabbit_ko.errors import UserError, suggest
from rabbit_ko.hashing import source_digest
from rabbit_ko.methods import ROW_KINDS, RowKind


@dataclass(frozen=True)
class Template:
    """An `exchange` for each earlier turn, `question`, `instruction` where there is a system message, `response`.

    `{user}`, `{system}` and `{assistant}` stand for a message's stripped content.
    """

    exchange: str
    question: str
    instruction: str
    response: str


@dataclass(frozen=True)
class Native:
    """The chat template of the stage's tokenizer, whatever it is."""


def _with_headings(question: str, instruction: str, response: str) -> Template:
    return Template(
        exchange=f"### {question}:\n{{user}}\n### {response}:\n{{assistant}}\n",
        question=f"### {question}:\n{{user}}\n\n",
        instruction=f"### {instruction}:\n{{system}}\n\n",
        response=f"### {response}:\n",
    )


QIR = _with_headings("Question", "Instruction", "Response")
IIR = _with_headings("Instruction", "Input", "Response")
TEMPLATES: dict[str, Template | Native] = {
    "qir": QIR,
    "iir": IIR,
    "native": Native(),
}
# The headings of all templates: none of them may stand in a message.
_PARTS = "".join(part for each in TEMPLATES.values() for part in astuple(each))
LABELS = sorted(set(re.findall("### ([^#\n]+):", _PARTS)))

# What follows a template's name in the `type` of conversations, and in that of pairs and of labelled answers.
TARGETS: dict[str, Targets] = {"": last_answer, "_every_turn": every_answer}
PREFERENCES: dict[RowKind, str] = {"dpo": "_dpo", "kto": "_kto"}


def types_of(rows: RowKind) -> dict[str, Template | Native]:
    """Return the `type`s that a dataset entry with such rows can have, such as `prompt_strategies.qir`."""
    suffixes = TARGETS if rows == "sft" else (PREFERENCES[rows],)
    return {f"prompt_strategies.{name}{suffix}": TEMPLATES[name] for name in TEMPLATES for suffix in suffixes}


def template_for(kind: str) -> Template | Native:
    """Return the template that a dataset entry's `type` asks for. Raises UserError where it is unknown."""
    known = {kind: template for rows in ROW_KINDS for kind, template in types_of(rows).items()}
    if kind not in known:
        raise UserError(f"type: `{kind}` is not a prompt of this project{suggest(kind, known)}")
    return known[kind]


@cache
def source_fingerprint() -> str:
    """Return a hash of the source of this package, so that a cache made by other code is never met."""
    return source_digest(Path(__file__).parent.glob("*.py"))


def render_prompt(template: Template, messages: Messages) -> str:
    """Render what the model reads before it answers, without BOS; `messages` end with the user's question."""
    system, turns = split_system(messages)
    contents = [turn["content"].strip() for turn in turns]
    earlier = zip(contents[:-1:2], contents[1::2], strict=True)
    prompt = "".join(template.exchange.format(user=user, assistant=assistant) for user, assistant in earlier)
    prompt += template.question.format(user=contents[-1])
    return prompt + (template.instruction.format(system=system) if system else "") + template.response


def render_answer(message: Mapping[str, Any]) -> str:
    """Render an assistant message as the text that is trained, without EOS."""
    answer: str = message["content"].strip()
    return answer
