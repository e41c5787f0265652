"""Prompts with answers, judges that read them, and what comes of their verdicts."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.judge.verdicts import Judgement, Mode
from rabbit_ko.pairs.judges.rubric_judge import RubricConfig, RubricJudge
from rabbit_ko.pairs.records import Answer, Case, Prompt
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Request

TEXTS = ("서울입니다.", "부산이라고 들었습니다.", "잘 모르겠지만 아마도 대구가 아닐까 합니다.", "네.")


def prompt(number: int = 0, reference: str = "") -> Prompt:
    """A prompt in Korean."""
    return Prompt(f"q/{number}", "q", [{"role": "user", "content": f"{number}번 나라의 수도는?"}], reference)


def case(number: int = 0, texts: Sequence[str] = TEXTS) -> Case:
    """A prompt with answers that have these texts."""
    return prompt(number), [Answer(f"{number}/{place}", text, True) for place, text in enumerate(texts)]


def rubric_judge(server: Judge, mode: Mode = "score", verdicts: int = 1, **changes: Any) -> RubricJudge:
    """A judge at a server."""
    settings: dict[str, Any] = {"model": MODEL, "concurrency": 4, "timeout": 5.0, **changes}
    return RubricJudge(Endpoint("JUDGE", server.url, **settings), RubricConfig(mode=mode, verdicts=verdicts))


def judged(judge: RubricJudge, cases: Sequence[Case], most: int | None = None) -> list[Judgement]:
    """What a judge holds of cases, with a journal in the working directory."""
    return judge.judge(cases, JOURNAL, most)


def lines() -> list[dict[str, Any]]:
    """What is in the journal."""
    return [json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines()] if JOURNAL.exists() else []


def shown(request: Request) -> list[str]:
    """The answers that a judge is shown, in their order."""
    return [answer for _, _, answer in _ANSWER.findall(request.text)]


JOURNAL = Path("verdicts.jsonl")
_ANSWER = re.compile(r"^<(답변(?: [AB])?) (\w{8})>\n(.*?)\n</\1 \2>$", re.DOTALL | re.MULTILINE)
