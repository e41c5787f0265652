"""The judge: one verdict on each first answer, and one on each second, which are written as they arrive."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm  # type: ignore[import-untyped]

from prompt_strategies.messages import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, ask_for_each
from rabbit_ko.evaluation.journal import append, digest, records
from rabbit_ko.evaluation.judge.asking import ATTEMPTS, ask_as_allowed
from rabbit_ko.evaluation.logickor.questions import METRICS, Metric, Question, ask_again, judge_messages
from rabbit_ko.normal_form import normalize

HIGHEST = 10.0

_HEAD = re.compile(r"(?<![^\W_])(?<![(\[])점수[\s*_`]*:")
# A second number, as in "7~8", "7 또는 8" or "10점 만점에 8점", would leave open which one is meant. One in a remark
# would not, in brackets or after a dash.
_SCORE = re.compile(
    r"[\s*_`$\[(]*+(?P<score>[0-9]++(\.[0-9]++)?+)([^\S\n]*+\n|\s*+점?+[*_`$\])]*+"
    r"(\s*+(/|out of)\s*+10(\.0++)?+(\s*+점?+(?![0-9.])|(?![0-9.])))?(\s*+\(10점 만점[^0-9)]*+\))?[*_`$\])]*+"
    r"([^0-9\n]*+|\s*+\([^)\n]*+\)[^0-9\n]*+|\s*+(?<=\s)[-–—](\s++(?![0-9])|\s(?=\s))[^\n]*+)(\n|$))"
)


class Verdict(NamedTuple):
    """What the judge said of one answer. score: None where it could not be read."""

    score: float | None
    message: str


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
    questions: list[Question], answers: dict[str, tuple[str, ...]], judge: Endpoint, journal: Path
) -> Verdicts:
    """Have all answers judged but those whose verdict is in the journal; return all verdicts. Raises UserError."""
    known = {record["key"]: record for record in records(journal, key=str, score=float, message=str)}
    verdicts: Verdicts = {}
    missing: list[tuple[str, Metric, str, Messages]] = []
    for name, metric, question in [(question.name, metric, question) for question in questions for metric in METRICS]:
        messages = judge_messages(question, answers[name], metric)
        key = digest([name, metric, judge.model, messages])
        if key in known:
            verdicts[name, metric] = Verdict(known[key]["score"], known[key]["message"])
        else:
            missing.append((name, metric, key, messages))
    refusals: list[str] = []
    settings: dict[str, Any] = {"temperature": 0.0}

    async def verdict_on(ask: Ask, messages: Messages) -> Verdict:
        for attempt in range(ATTEMPTS):
            message = await ask_as_allowed(ask, ask_again(messages) if attempt else messages, settings)
            if (score := parse_score(message)) is not None:
                break
        return Verdict(score, message)

    async def work(ask: Ask, case: tuple[str, Metric, str, Messages]) -> None:
        name, metric, key, messages = case
        try:
            verdict = await verdict_on(ask, messages)
        except Refused as refused:
            refusals.append(str(refused))
            verdict = Verdict(None, str(refused))
        append(journal, {"key": key, "id": name, "metric": metric, **verdict._asdict(), "judge": judge.model})
        verdicts[name, metric] = verdict
        progress.update()

    with tqdm(desc="judged", total=len(missing), disable=None) as progress:
        ask_for_each(judge, missing, work)
    if refusals and all(verdict.score is None for verdict in verdicts.values()):
        raise UserError(f"{refusals[0]}; no verdict could be had")
    return verdicts
