"""LogicKor's figures by upstream's rule, their table, and the judged rows that they are of.

The figure of a category, and of all, is the plain mean over its questions; overall is the mean of the single-turn and
the multi-turn mean. A missing verdict is in no mean; it is counted and shown.
"""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from rabbit_ko.evaluation.logickor.judge import HIGHEST
from rabbit_ko.evaluation.logickor.questions import CATEGORIES, Asked, Category, read_rows
from rabbit_ko.evaluation.records import Sample, Score
from rabbit_ko.evaluation.results.report import measured

TOTAL = "total"


class Row(NamedTuple):
    """A question with the scores of its two answers; None is a missing verdict."""

    id: str
    category: Category
    single: float | None
    multi: float | None


class JudgedRow(Asked):
    """A row of a file, this project's or upstream's. of: how many rows there should be."""

    query_single: Any = None
    query_multi: Any = None
    of: int = 42


def read_judged(file: Path) -> tuple[list[Row], int]:
    """Read judged rows, and how many there should be. Raises OSError, and UserError where one is wrong."""
    judged = read_rows(file, JudgedRow)
    rows = [Row(row.name, row.category, _score(row.query_single), _score(row.query_multi)) for row in judged]
    return rows, max(row.of for row in judged)


def _score(query: Any) -> float | None:
    score: Any = query.get("judge_score") if isinstance(query, dict) else None
    return score if type(score) in (int, float) and 0 <= score <= HIGHEST else None


def scores(rows: list[Row]) -> list[Score]:
    """Return single, multi and overall of each category, with or without questions, and of all of them."""
    found = []
    for task in (*CATEGORIES, TOTAL):
        group = [row for row in rows if task in (row.category, TOTAL)]
        for metric, columns in _columns(group):
            value, stderr = mean(columns)
            missing = sum(None in values for values in zip(*columns, strict=True))
            found.append(
                Score(task=task, metric=metric, value=value, stderr=stderr, items=len(group), missing=missing)
            )
    return found


def samples(rows: list[Row]) -> list[Sample]:
    """Return each question's scores; overall only where both verdicts are there."""
    return [
        Sample(task=row.category, item=row.id, metric=metric, value=value)
        for row in rows
        for metric, columns in _columns([row])
        if (value := mean(columns)[0]) is not None
    ]


def _columns(rows: list[Row]) -> list[tuple[str, list[list[float | None]]]]:
    single, multi = [row.single for row in rows], [row.multi for row in rows]
    return [("single", [single]), ("multi", [multi]), ("overall", [single, multi])]


def mean(columns: Sequence[Sequence[float | None]]) -> tuple[float | None, float | None]:
    """Return the mean of the columns' means, and its standard error over items whose scores go together, or None."""
    present = [[value for value in column if value is not None] for column in columns]
    if not all(present):
        return None, None
    means = [sum(values) / len(values) for values in present]
    shares = []
    for item in zip(*columns, strict=True):
        known = [(value, *column) for value, *column in zip(item, means, present, strict=True) if value is not None]
        if known:
            shares.append(sum((value - center) / len(values) for value, center, values in known) / len(columns))
    n, value = len(shares), sum(means) / len(means)
    return value, sqrt(sum(share**2 for share in shares) * n / (n - 1)) if n > 1 else None


def render(scores: list[Score], of: int = 0) -> str:
    """Return the figures as a Markdown table, a row for each category. of: how many questions there should be."""
    rows = [["Category", "Questions", "Single turn", "Multi turn", "Overall"]]
    for figures in zip(scores[::3], scores[1::3], scores[2::3], strict=True):
        task, items = figures[0].task, figures[0].items
        count = f"{items} of {of}" if task == TOTAL and items < of else str(items)
        rows.append([task.capitalize(), count, *(measured(score, HIGHEST) for score in figures)])
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(set_cell_size, row, widths))} |" for row in rows)
