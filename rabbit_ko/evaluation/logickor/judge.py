"""The judge: one verdict on each first answer, and one on each second, which are written as they arrive."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from unicodedata import normalize

from prompt_strategies.template import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Endpoint, Refused, ask, for_each, open_client
from rabbit_ko.evaluation.logickor.journal import Journal, digest
from rabbit_ko.evaluation.logickor.prompt import METRICS, Metric, ask_again, judge_messages
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

Answers = dict[str, tuple[str, str]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Verdict:
    """What the judge said of one answer. score: None where it could not be read. key: a hash of what was asked."""

    key: str
    id: str
    metric: Metric
    score: float | None
    message: str


@dataclass(frozen=True)
class _Case:
    """An answer to be judged."""

    key: str
    id: str
    metric: Metric
    messages: Messages


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
    questions: list[Question], answers: Answers, judge: Endpoint, journal: Journal, progress: Progress
) -> dict[tuple[str, Metric], Verdict]:
    """Have all answers judged but those whose verdict is in the journal; return all verdicts, by question and metric.

    Raises UserError where the judge cannot be asked, or a verdict cannot be written; what has come is in the journal.
    """
    pairs = [(question, metric) for question in questions for metric in METRICS]
    cases = [_case(question, answers[str(question.id)], metric, judge) for question, metric in pairs]
    there = _readable(journal)
    verdicts = {case.key: there[case.key] for case in cases if case.key in there}
    progress("judged", len(verdicts), len(cases))

    def write(verdict: Verdict) -> None:
        journal.append(asdict(verdict) | {"judge": judge.model})
        verdicts[verdict.key] = verdict
        progress("judged", len(verdicts), len(cases))

    if asked := [case for case in cases if case.key not in there]:
        with journal.with_spare_space():
            refusals = asyncio.run(_ask_all(asked, judge, write))
        if refusals and not any(verdict.score is not None for verdict in verdicts.values()):
            raise UserError(f"{refusals[0]}; no verdict could be had")
    return {(case.id, case.metric): verdicts[case.key] for case in cases}


def _case(question: Question, answers: tuple[str, str], metric: Metric, judge: Endpoint) -> _Case:
    messages = judge_messages(question, answers, metric)
    key = digest([str(question.id), metric, judge.model, messages])
    return _Case(key, str(question.id), metric, messages)


def _readable(journal: Journal) -> dict[str, Verdict]:
    fields = Verdict.__dataclass_fields__
    records = (record for record in journal.records() if fields.keys() <= record.keys())
    verdicts = (Verdict(**{name: record[name] for name in fields}) for record in records)
    return {verdict.key: verdict for verdict in verdicts if verdict.score is not None}


async def _ask_all(cases: list[_Case], judge: Endpoint, write: Callable[[Verdict], None]) -> list[str]:
    """Ask for verdicts; return why any of them were refused."""
    refusals: list[str] = []
    settings: dict[str, Any] = {"temperature": 0.0}

    async def ask_once(messages: Messages) -> str:
        sent = dict(settings)
        try:
            return await ask(client, judge, messages, **sent)
        except Refused as refused:
            # Models that think before they answer have a temperature of their own.
            if not sent or "temperature" not in str(refused):
                raise
        settings.clear()
        return await ask(client, judge, messages)

    async def work(case: _Case) -> None:
        try:
            score, message = await _ask_until_readable(case.messages, ask_once)
        except Refused as refused:
            refusals.append(str(refused))
            score, message = None, str(refused)
        write(Verdict(case.key, case.id, case.metric, score, message))

    async with open_client(judge) as client:
        await for_each(cases, work, judge.concurrency)
    return refusals


async def _ask_until_readable(messages: Messages, ask_once: Callable[[Messages], Any]) -> tuple[float | None, str]:
    message = ""
    for attempt in range(ATTEMPTS):
        message = await ask_once(messages if attempt == 0 else ask_again(messages))
        if (score := parse_score(message)) is not None:
            return score, message
    return None, message
