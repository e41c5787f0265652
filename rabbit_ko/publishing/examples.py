"""Answers on a model card: those that the model gives while the card is written, and those that a person picked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from prompt_strategies.template import Messages, Template, render_answer, render_prompt
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import generate

MAX_NEW_TOKENS = 256
SINGLE_TURN = ("아침에 일어나자마자 물을 한 잔 마시면 몸에 어떤 점이 좋은가요?",)
MULTI_TURN = (
    "가을에 서울에서 하루 동안 걷기 좋은 곳을 한 군데만 추천해 주세요.",
    "그날 비가 오면 어떻게 하는 게 좋을까요?",
)


@dataclass(frozen=True)
class Example:
    """A conversation as the model reads and writes it; is_cut: an answer reached MAX_NEW_TOKENS."""

    text: str
    is_cut: bool


class PickedAnswer(BaseModel):
    """A question and its answer that a person has picked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: Annotated[str, StringConstraints(min_length=1)]
    answer: str


def read_picked(file: Path) -> PickedAnswer:
    """Read `question:` and `answer:` from a YAML or JSON file. Raises OSError, and UserError for anything else."""
    try:
        return PickedAnswer.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError):
        raise UserError(f"{file}: not an answer to show; write YAML with `question:` and `answer:`") from None


def make_examples(model: Any, tokenizer: Any, template: Template, system_prompt: str) -> list[Example]:
    """Let the model answer one question, under the system prompt if there is one, and two in turn without it."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    asked = ((system, SINGLE_TURN), ([], MULTI_TURN))
    return [_converse(model, tokenizer, template, messages, questions) for messages, questions in asked]


def _converse(model: Any, tokenizer: Any, template: Template, system: Messages, questions: Sequence[str]) -> Example:
    messages, cuts = [*system], []
    for question in questions:
        messages.append({"role": "user", "content": question})
        [answer] = generate(model, tokenizer, [messages], MAX_NEW_TOKENS)
        messages.append({"role": "assistant", "content": answer.text})
        cuts.append(answer.is_cut)
    prompt, last = render_prompt(template, messages[:-1]), render_answer(messages[-1])
    text = f"{tokenizer.bos_token or ''}{prompt}{last}{'' if cuts[-1] else tokenizer.eos_token}"
    return Example(text, any(cuts))
