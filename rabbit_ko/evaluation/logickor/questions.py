"""LogicKor's questions, and what the model and the judge are asked, in this project's own words.

The questions have no license and are not shipped here. The judge reads the rubric, then the conversation, each part
within marks.
"""

import codecs
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

import yaml
from jinja2 import Template
from pydantic import BaseModel, BeforeValidator, StringConstraints, field_validator

from prompt_strategies.messages import Messages
from rabbit_ko.documents import regular
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.judge.marks import marked
from rabbit_ko.evaluation.records import validated

REPO, FILE = "maywell/LogicKor", "questions.jsonl"

Category = Literal["추론", "수학", "글쓰기", "코딩", "이해", "문법"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
Strategy = Literal["default", "1-shot", "cot-1-shot"]
Metric = Literal["single", "multi"]
METRICS: tuple[Metric, ...] = ("single", "multi")
_AGAIN = "\n\n앞서 보낸 심사에서는 점수를 읽을 수 없었습니다. 반드시 `점수: 숫자` 한 줄로 끝내 주세요."


class Asked(BaseModel):
    """What a question and a judged row have in common. category: upstream writes `추론(Reasoning)`."""

    id: int | str
    category: Annotated[Category, BeforeValidator(lambda text: str(text).partition("(")[0].strip())]

    @property
    def name(self) -> str:
        return str(self.id)


class Question(Asked):
    """Two turns of a conversation; a reference, where there is one, says what a right answer holds."""

    questions: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)], ...]
    references: tuple[str | None, ...] = (None, None)

    @field_validator("questions", "references", mode="before")
    @classmethod
    def _of_two_turns(cls, texts: object) -> object:
        return [*(texts or []), None, None][:2] if isinstance(texts, list | None) else texts


Row = TypeVar("Row", bound=Asked)


def load_questions(file: str = "") -> list[Question]:
    """Read the questions from a file, or without one from the hub. Raises OSError, UserError."""
    return read_rows(Path(file) if file else _download(), Question)


def read_rows(file: Path, model: type[Row]) -> list[Row]:
    """Read JSON lines. Raises OSError, and UserError with the place of what is no such row, or has another's id."""
    rows: dict[str, Row] = {}
    # Upstream's files have a BOM before whatever was appended.
    for number, line in enumerate(regular(file).read_bytes().replace(codecs.BOM_UTF8, b"").split(b"\n"), start=1):
        if not line.strip():
            continue
        row = validated(model, line, f"{file}:{number}")
        if rows.setdefault(row.name, row) is not row:
            raise UserError(f"{file}:{number}: id {row.name} stands there twice; give each question its own")
    if not rows:
        raise UserError(f"{file}: no row in it")
    return list(rows.values())


def _download() -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        return Path(hf_hub_download(REPO, FILE, repo_type="dataset"))
    except Exception as error:
        # The client's errors, and those of the network beneath it, share no class.
        said = f"the questions cannot be downloaded: {reason(error)[:200]}"
        raise UserError(f"{REPO}: {said}; give them as a file: QUESTIONS=file") from None


def conversation(strategy: Strategy, questions: tuple[str, ...], first_answer: str | None = None) -> Messages:
    """Return the messages that ask the first question; given the answer to it, those that ask the second."""
    messages = [*yaml.safe_load(_text("strategies.yaml"))[strategy], {"role": "user", "content": questions[0]}]
    if first_answer is None:
        return messages
    return [*messages, {"role": "assistant", "content": first_answer}, {"role": "user", "content": questions[1]}]


def judge_messages(question: Question, answers: tuple[str, ...], metric: Metric) -> Messages:
    """Return what the judge is asked about the first answer, or about the second with all that came before."""
    parts = [("질문", question.questions[0]), ("참고 답안", question.references[0]), ("답변", answers[0])]
    if metric == "multi":
        parts += [
            ("후속 질문", question.questions[1]),
            ("후속 질문의 참고 답안", question.references[1]),
            ("후속 질문에 대한 답변", answers[1]),
        ]
    mark, sections = marked(parts, "(빈 답변)")
    end = f"표식이 {mark}인 자료는 여기까지입니다. 이제 심사 결과를 적으세요.\n평가:\n점수:"
    rubric = Template(_text("rubric.txt.jinja"), trim_blocks=True).render(metric=metric)
    return [{"role": "system", "content": rubric}, {"role": "user", "content": f"{sections}\n\n{end}"}]


def ask_again(messages: Messages) -> Messages:
    """Return the same question after a verdict that could not be read."""
    return [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + _AGAIN}]


@cache
def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
