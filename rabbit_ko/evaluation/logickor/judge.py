"""The judge: one verdict on each first answer, and one on each second, which are written as they arrive."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any
from unicodedata import normalize

from prompt_strategies.template import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, ask_for_each
from rabbit_ko.evaluation.journal import Journal, digest
from rabbit_ko.evaluation.logickor.answers import Progress
from rabbit_ko.evaluation.logickor.prompts import METRICS, Metric, ask_again, judge_messages
from rabbit_ko.evaluation.logickor.questions import Question

ATTEMPTS = 3
HIGHEST = 10.0

_HEAD = re.compile(r"(?<![^\W_])(?<![(\[])점수[\s*_`]*:")
# A second number, as in "7~8", "7 또는 8" or "10점 만점에 8점", would leave open which one is meant. One in a remark
# would not, in brackets or after a dash.
_SCORE = re.compile(
    r"[\s*_`$\[(]*(?P<score>[0-9]+(\.[0-9]+)?)\s*점?[*_`$\])]*"
    r"(\s*(/|out of)\s*10(\.0+)?\s*점?(?![0-9.]))?(\s*\(10점 만점[^0-9)]*\))?[*_`$\])]*"
    r"([^0-9\n]*|\s*\([^)\n]*\)[^0-9\n]*|\s+[-–—]\s+(?![0-9])[^\n]*)(\n|$)"
)


@dataclass(frozen=True)
class Verdict:
    """What the judge said of one answer. score: None where it could not be read. key: a hash of what was asked."""

    key: str
    id: str
    metric: Metric
    score: float | None = None
    message: str = ""


Verdicts = dict[tuple[str, Metric], Verdict]


def parse_score(text: str) -> float | None:
    """Read the score of a verdict: the last line `점수: N` or `점수: N.N`, marked up or not, or `8/10`.

    A remark in brackets is none of them. None where there is no such line, or it has no single number from 0 to 10.
    """
    text = normalize("NFKC", text)
    heads = list(_HEAD.finditer(text))
    found = _SCORE.match(text, heads[-1].end()) if heads else None
    score = float(found["score"]) if found else None
    return score if score is not None and score <= HIGHEST else None


def judge_all(
    questions: list[Question],
    answers: dict[str, tuple[str, str]],
    judge: Endpoint,
    journal: Journal,
    progress: Progress,
) -> Verdicts:
    """Have all answers judged but those whose verdict is in the journal; return all verdicts, by question and metric.

    Raises UserError where the judge cannot be asked, or a verdict cannot be written; what has come is in the journal.
    """
    cases: dict[str, tuple[Verdict, Messages]] = {}
    for question in questions:
        for metric in METRICS:
            messages = judge_messages(question, answers[str(question.id)], metric)
            key = digest([str(question.id), metric, judge.model, messages])
            cases[key] = Verdict(key, str(question.id), metric), messages
    verdicts = {key: verdict for key, verdict in _read(journal).items() if key in cases}

    def write(verdict: Verdict) -> None:
        journal.append(asdict(verdict) | {"judge": judge.model})
        verdicts[verdict.key] = verdict
        progress("judged", len(verdicts), len(cases))

    progress("judged", len(verdicts), len(cases))
    if missing := [case for key, case in cases.items() if key not in verdicts]:
        refusals = _ask_all(missing, judge, write)
        if refusals and not any(verdict.score is not None for verdict in verdicts.values()):
            raise UserError(f"{refusals[0]}; no verdict could be had")
    return {(verdict.id, verdict.metric): verdicts[key] for key, (verdict, _) in cases.items()}


def _read(journal: Journal) -> dict[str, Verdict]:
    """Return the verdicts of a journal that have a score, by key."""
    fields = Verdict.__dataclass_fields__.keys()
    verdicts = [
        Verdict(**{name: record[name] for name in fields}) for record in journal.records() if fields <= record.keys()
    ]
    return {verdict.key: verdict for verdict in verdicts if verdict.score is not None}


def _ask_all(cases: list[tuple[Verdict, Messages]], judge: Endpoint, write: Callable[[Verdict], None]) -> list[str]:
    """Ask for verdicts; return why any of them were refused."""
    refusals: list[str] = []
    settings: dict[str, Any] = {"temperature": 0.0}

    async def ask_once(ask: Ask, messages: Messages) -> str:
        try:
            return await ask(messages, **settings)
        except Refused as refused:
            # Models that think before they answer have a temperature of their own.
            if "temperature" not in str(refused):
                raise
        settings.clear()
        return await ask(messages)

    async def work(ask: Ask, case: tuple[Verdict, Messages]) -> None:
        verdict, messages = case
        try:
            for attempt in range(ATTEMPTS):
                message = await ask_once(ask, ask_again(messages) if attempt else messages)
                verdict = replace(verdict, score=parse_score(message), message=message)
                if verdict.score is not None:
                    break
        except Refused as refused:
            refusals.append(str(refused))
            verdict = replace(verdict, score=None, message=str(refused))
        write(verdict)

    ask_for_each(judge, cases, work)
    return refusals
