"""Judged rows as files: upstream's, and this project's, which have the same fields.

This project's rows also say how many questions there were (`of`), and a missing `judge_score` is null.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator

from rabbit_ko import storage
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.logickor.judge import HIGHEST, Verdicts
from rabbit_ko.evaluation.logickor.prompts import METRICS
from rabbit_ko.evaluation.logickor.questions import TURNS, AnyCategory, Id, Question, read_lines
from rabbit_ko.evaluation.logickor.scores import Row
from rabbit_ko.evaluation.records import validated

UPSTREAM_QUESTIONS = 42
# What upstream's judge writes, with a score of 0, when it gives up.
_GAVE_UP = "Impossible to judge"


class JudgedRow(BaseModel):
    """A row of such a file. What upstream's judges have left in the other fields may be anything."""

    id: Id
    category: AnyCategory
    questions: Any = None
    outputs: Any = None
    query_single: Any = None
    query_multi: Any = None
    of: Any = None

    @model_validator(mode="after")
    def _is_judged(self) -> "JudgedRow":
        if not {"query_single", "query_multi"} & self.model_fields_set:
            raise ValueError("neither query_single nor query_multi; it is not judged yet")
        return self

    @property
    def scores(self) -> Row:
        return Row(str(self.id), self.category, _score(self.query_single), _score(self.query_multi))

    @property
    def texts(self) -> list[Any]:
        """The questions and answers of the two turns that are scored."""
        return [texts[:TURNS] if isinstance(texts, list) else texts for texts in (self.questions, self.outputs)]


@dataclass(frozen=True)
class Judged:
    """The rows of a file, how many there should be, and what a reader has to know of them."""

    rows: list[Row]
    of: int
    notes: list[str]


def write_judged(
    file: Path, questions: list[Question], answers: dict[str, tuple[str, str]], verdicts: Verdicts
) -> None:
    """Write one row for each question. Raises OSError."""
    lines = []
    for question in questions:
        row = question.model_dump(mode="json") | {"outputs": answers[str(question.id)]}
        for metric in METRICS:
            verdict = verdicts[str(question.id), metric]
            row[f"query_{metric}"] = {"judge_message": verdict.message, "judge_score": verdict.score}
        lines.append(json.dumps(row | {"of": len(questions)}, ensure_ascii=False) + "\n")
    storage.write(str(file), "".join(lines).encode())


def read_judged(file: Path) -> Judged:
    """Read judged rows; the same row twice counts once.

    Raises UserError where the file cannot be read, a row is not one, or two rows of one id contradict each other.
    """
    found: dict[str, tuple[str, JudgedRow]] = {}
    duplicates: list[str] = []
    for place, line in read_lines(file):
        row, number = validated(JudgedRow, line, place), place.rpartition(":")[2]
        first, other = found.setdefault(str(row.id), (number, row))
        if (other.scores, other.texts) != (row.scores, row.texts):
            raise UserError(f"{file}: id {row.id} is not the same in lines {first} and {number}; remove one")
        if other is not row:
            duplicates.append(str(row.id))
    if not found:
        raise UserError(f"{file}: no judged row in it")
    rows = [row for _, row in found.values()]
    of = max((row.of for row in rows if isinstance(row.of, int)), default=UPSTREAM_QUESTIONS)
    return Judged([row.scores for row in rows], of, _notes(rows, of, duplicates))


def _score(query: Any) -> float | None:
    score = query.get("judge_score") if isinstance(query, dict) else None
    is_score = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= HIGHEST
    return score if is_score else None


def _notes(rows: list[JudgedRow], of: int, duplicates: list[str]) -> list[str]:
    notes = []
    if duplicates:
        notes.append(f"a row that stands there twice counts once: id {', '.join(duplicates)}")
    if len(rows) < of:
        known, present = {str(number) for number in range(1, of + 1)}, {str(row.id) for row in rows}
        missing = sorted(known - present, key=int) if present <= known else []
        which = f": id {', '.join(missing)}" if missing else ""
        notes.append(f"no row for {of - len(rows)} of {of} questions{which}")
    queries = [query for row in rows for query in (row.query_single, row.query_multi) if isinstance(query, dict)]
    if gave_up := sum(_GAVE_UP in str(query.get("judge_message")) for query in queries):
        notes.append(f"scores of 0 that are upstream's for no verdict, and as there in the means: {gave_up}")
    return notes
