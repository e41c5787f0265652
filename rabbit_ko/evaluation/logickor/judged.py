"""Judged rows as files: upstream's, and this project's, which have the same fields.

This project's rows also say how many questions there were (`of`), and a missing `judge_score` is null.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rabbit_ko import storage
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.logickor.judge import HIGHEST, Verdict
from rabbit_ko.evaluation.logickor.prompt import METRICS, Metric
from rabbit_ko.evaluation.logickor.questions import CATEGORIES, TURNS, AnyCategory, Question, read_lines
from rabbit_ko.evaluation.logickor.score import Row

UPSTREAM_QUESTIONS = 42
# What upstream's judge writes, with a score of 0, when it gives up.
_GAVE_UP = "Impossible to judge"
_CATEGORY: TypeAdapter[Any] = TypeAdapter(AnyCategory)

Verdicts = dict[tuple[str, Metric], Verdict]


@dataclass(frozen=True)
class Judged:
    """The rows of a file, how many there should be, and what a reader has to know of them."""

    rows: list[Row]
    of: int
    notes: list[str]


def rows_of(questions: list[Question], verdicts: Verdicts) -> list[Row]:
    """Put questions and verdicts together."""
    return [
        Row(name, question.category, verdicts[name, "single"].score, verdicts[name, "multi"].score)
        for question in questions
        for name in [str(question.id)]
    ]


def write_judged(
    file: Path, questions: list[Question], answers: dict[str, tuple[str, str]], verdicts: Verdicts
) -> None:
    """Write one row for each question. Raises OSError."""
    lines = [
        {
            **question.model_dump(mode="json"),
            "outputs": answers[str(question.id)],
            **{f"query_{metric}": _query(verdicts[str(question.id), metric]) for metric in METRICS},
            "of": len(questions),
        }
        for question in questions
    ]
    storage.write(str(file), "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())


def _query(verdict: Verdict) -> dict[str, Any]:
    return {"judge_message": verdict.message, "judge_score": verdict.score}


def read_judged(file: Path) -> Judged:
    """Read judged rows; the same row twice counts once.

    Raises UserError where the file cannot be read, a row is not one, or two rows of one id contradict each other.
    """
    found: dict[str, tuple[int, Row, dict[str, Any]]] = {}
    twice: list[str] = []
    for number, line in read_lines(file):
        row = _row(f"{file}:{number}", line)
        first, other, before = found.setdefault(row.id, (number, row, line))
        if (other, _texts(before)) != (row, _texts(line)):
            raise UserError(f"{file}: id {row.id} is not the same in lines {first} and {number}; remove one")
        if first != number:
            twice.append(row.id)
    if not found:
        raise UserError(f"{file}: no judged row in it")
    rows, lines = [row for _, row, _ in found.values()], [line for _, _, line in found.values()]
    of = max((line["of"] for line in lines if isinstance(line.get("of"), int)), default=UPSTREAM_QUESTIONS)
    return Judged(rows, of, _notes(rows, of, twice, lines))


def _row(place: str, line: Any) -> Row:
    if not isinstance(line, dict):
        raise UserError(f"{place}: a judged row is an object")
    name = line.get("id")
    if isinstance(name, bool) or not isinstance(name, int | str):
        raise UserError(f"{place}: id: a number or a text is needed")
    try:
        category = _CATEGORY.validate_python(line.get("category"))
    except ValidationError:
        raise UserError(
            f"{place}: category: {line.get('category')} is none; categories: {', '.join(CATEGORIES)}"
        ) from None
    if not any(f"query_{metric}" in line for metric in METRICS):
        raise UserError(f"{place}: neither query_single nor query_multi; it is not judged yet")
    return Row(str(name), category, _score(line, "single"), _score(line, "multi"))


def _score(line: dict[str, Any], metric: Metric) -> float | None:
    query = line.get(f"query_{metric}")
    score = query.get("judge_score") if isinstance(query, dict) else None
    is_score = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= HIGHEST
    return score if is_score else None


def _texts(line: dict[str, Any]) -> list[Any]:
    return [texts[:TURNS] if isinstance(texts := line.get(key), list) else texts for key in ("questions", "outputs")]


def _notes(rows: list[Row], of: int, twice: list[str], lines: list[dict[str, Any]]) -> list[str]:
    notes = []
    if twice:
        notes.append(f"a row that stands there twice counts once: id {', '.join(twice)}")
    if len(rows) < of:
        known = {str(number) for number in range(1, of + 1)}
        there = {row.id for row in rows}
        lacking = sorted(known - there, key=int) if there <= known else []
        which = f": id {', '.join(lacking)}" if lacking else ""
        notes.append(f"no row for {of - len(rows)} of {of} questions{which}")
    queries = [line.get(f"query_{metric}") for line in lines for metric in METRICS]
    gave_up = sum(_GAVE_UP in str(query.get("judge_message")) for query in queries if isinstance(query, dict))
    if gave_up:
        notes.append(f"scores of 0 that are upstream's for no verdict, and as there in the means: {gave_up}")
    return notes
