"""Answers on a model card: those that the model gives while the card is written, and those that a person picked."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, StringConstraints, ValidationError

from rabbit_ko.documents import read_yaml
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import generate

MAX_NEW_TOKENS = 256
SINGLE_TURN = ("아침에 일어나자마자 물을 한 잔 마시면 몸에 어떤 점이 좋은가요?",)
MULTI_TURN = (
    "가을에 서울에서 하루 동안 걷기 좋은 곳을 한 군데만 추천해 주세요.",
    "그날 비가 오면 어떻게 하는 게 좋을까요?",
)


class Example(NamedTuple):
    """A conversation as the model reads and writes it; is_cut: an answer reached MAX_NEW_TOKENS."""

    text: str
    is_cut: bool


class PickedAnswer(BaseModel, extra="forbid", strict=True):
    """A question and its answer that a person has picked."""

    question: Annotated[str, StringConstraints(min_length=1)]
    answer: str


def read_picked(file: Path) -> PickedAnswer:
    """Read `question:` and `answer:` from a YAML or JSON file. Raises UserError for anything else."""
    try:
        return PickedAnswer.model_validate(read_yaml(file))
    except ValidationError:
        raise UserError(f"{file}: not an answer to show; write YAML with `question:` and `answer:`") from None


def make_examples(model: Any, tokenizer: Any, system_prompt: str) -> list[Example]:
    """Let the model answer one question, under the system prompt if there is one, and two in turn without it."""
    made = []
    for system, questions in ((system_prompt, SINGLE_TURN), ("", MULTI_TURN)):
        messages, cuts = [{"role": "system", "content": system}] if system else [], []
        for question in questions:
            messages.append({"role": "user", "content": question})
            [answer] = generate(model, tokenizer, [messages], MAX_NEW_TOKENS)
            prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            messages.append({"role": "assistant", "content": answer.text})
            cuts.append(answer.is_cut)
        made.append(Example(f"{prompt}{answer.text.strip()}{'' if cuts[-1] else tokenizer.eos_token}", any(cuts)))
    return made
