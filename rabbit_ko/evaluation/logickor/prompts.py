"""What the model is asked under each strategy, and what the judge is asked, in this project's own words.

The judge reads the rubric, then the conversation, each part within marks. A mark is a hash of all parts, so that no
answer can close its own part and pose as another, or as the judge.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from jinja2 import Environment, StrictUndefined

from prompt_strategies.template import Messages
from rabbit_ko.evaluation.journal import digest
from rabbit_ko.evaluation.logickor.questions import Question

Strategy = Literal["default", "1-shot", "cot-1-shot"]
Metric = Literal["single", "multi"]
METRICS: tuple[Metric, ...] = ("single", "multi")

_NOTHING = "(빈 답변)"
_AGAIN = "\n\n앞서 보낸 심사에서는 점수를 읽을 수 없었습니다. 반드시 `점수: 숫자` 한 줄로 끝내 주세요."


def conversation(strategy: Strategy, questions: tuple[str, str], first_answer: str | None = None) -> Messages:
    """Return the messages that ask the first question; given the answer to it, those that ask the second."""
    messages = [*_examples()[strategy], {"role": "user", "content": questions[0]}]
    if first_answer is None:
        return messages
    return [*messages, {"role": "assistant", "content": first_answer}, {"role": "user", "content": questions[1]}]


def judge_messages(question: Question, answers: tuple[str, str], metric: Metric) -> Messages:
    """Return what the judge is asked about the first answer, or about the second with all that came before."""
    parts = [("질문", question.questions[0]), ("참고 답안", question.references[0]), ("답변", answers[0])]
    if metric == "multi":
        parts += [
            ("후속 질문", question.questions[1]),
            ("후속 질문의 참고 답안", question.references[1]),
            ("후속 질문에 대한 답변", answers[1]),
        ]
    mark = digest(parts)[:8]
    present = [(name, text.strip() or _NOTHING) for name, text in parts if text is not None]
    sections = [f"<{name} {mark}>\n{text}\n</{name} {mark}>" for name, text in present]
    end = f"표식이 {mark}인 자료는 여기까지입니다. 이제 심사 결과를 적으세요.\n평가:\n점수:"
    return [
        {"role": "system", "content": _rubric(metric)},
        {"role": "user", "content": "\n\n".join([*sections, end])},
    ]


def ask_again(messages: Messages) -> Messages:
    """Return the same question after a verdict that could not be read."""
    return [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + _AGAIN}]


@cache
def _examples() -> dict[Strategy, list[dict[str, Any]]]:
    examples: dict[Strategy, list[dict[str, Any]]] = yaml.safe_load(_text("strategies.yaml"))
    return examples


@cache
def _rubric(metric: Metric) -> str:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_text("rubric.txt.jinja")).render(metric=metric)


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
