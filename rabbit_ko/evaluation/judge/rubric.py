"""What a judge is asked, by the rubric in the language of the question; what is judged is data, whatever it says."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml
from jinja2 import Template
from pydantic import BaseModel

from dataset_builders.gates.letters import fold, is_hangul
from dataset_builders.rows import Message, spoken
from prompt_strategies.messages import Messages
from prompt_strategies.prompt_injection import escape
from rabbit_ko.evaluation.judge.marks import marked
from rabbit_ko.evaluation.judge.verdicts import Language, Mode
from rabbit_ko.normal_form import normalize

FOLDER = Path(__file__).with_name("rubrics")
# Enough for a Korean question about a text in another language, or about code.
_KOREAN = 0.1


class Asked(NamedTuple):
    """What a model was asked: messages up to a user's. reference: the right answer, or empty."""

    messages: Sequence[Message]
    reference: str = ""


class Rubric(BaseModel, extra="forbid", frozen=True):
    """The rubric in one language, and all words around what is judged. parts: by role, or what else a part is."""

    parts: Mapping[str, str]
    empty: str
    rubric: str
    end: str
    again: Mapping[Mode, str]


@cache
def read_rubric(language: Language) -> Rubric:
    """Return the rubric in a language."""
    return Rubric.model_validate(yaml.safe_load((FOLDER / f"{language}.yaml").read_text(encoding="utf-8")))


@cache
def instructions(language: Language, mode: Mode) -> str:
    """Return what the judge is told before it sees anything."""
    text: str = Template(read_rubric(language).rubric, trim_blocks=True).render(mode=mode)
    return text


def hangul_share(text: str) -> float:
    """Return the share of Hangul among the letters of a text, of which digits are none."""
    codes = fold([normalize("NFC", text)]).codes
    codes = codes[(codes < ord("0")) | (codes > ord("9"))]
    return float(is_hangul(codes).mean()) if len(codes) else 0.0


def language_of(question: Asked) -> Language:
    """Return the language of a question: Korean where a share of what its user writes is Hangul."""
    said = [message["content"] for message in question.messages if message["role"] == "user"]
    return "ko" if hangul_share("\n".join(said)) >= _KOREAN else "en"


def ask_about(mode: Mode, question: Asked, answers: Sequence[str], again: bool = False) -> Messages:
    """Return what the judge is asked about one answer to a question, or about two in this order.

    again: after a verdict that could not be read.
    """
    language = language_of(question)
    rubric = read_rubric(language)
    said = [(turn["role"], turn["content"]) for turn in spoken(question.messages)]
    said.append(("reference", question.reference))
    parts = [(rubric.parts[role], text) for role, text in said if text.strip()]
    names = [""] if mode == "score" else [" A", " B"]
    parts += [(rubric.parts["answer"] + name, answer) for name, answer in zip(names, answers, strict=True)]
    # A server may read control tokens in a text as such.
    mark, sections = marked([(name, escape(text)) for name, text in parts], rubric.empty)
    end = [rubric.end.replace("{mark}", mark), *([rubric.again[mode]] if again else [])]
    asked = "\n\n".join([sections, *end])
    return [{"role": "system", "content": instructions(language, mode)}, {"role": "user", "content": asked}]
