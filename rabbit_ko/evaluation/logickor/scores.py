"""LogicKor's figures by upstream's rule, and their table.

A category's figure, and the total's, is the plain mean over its questions: the total is no mean of category means,
which would be another number where categories differ in size. Overall is the mean of the single-turn and the
multi-turn mean. A missing verdict is in no mean; it is counted and shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from rich.cells import cell_len

from rabbit_ko.evaluation.logickor.questions import CATEGORIES, Category
from rabbit_ko.evaluation.records import Sample, Score

TOTAL = "total"
HEADINGS = ("Category", "Questions", "Single turn", "Multi turn", "Overall", "Missing verdicts")


@dataclass(frozen=True)
class Row:
    """A question with the scores of its two answers; None is a missing verdict."""

    id: str
    category: Category
    single: float | None
    multi: float | None


def scores(rows: list[Row]) -> list[Score]:
    """Return single, multi and overall of each category, with or without questions, and of all of them."""
    found = []
    for task in (*CATEGORIES, TOTAL):
        group = [row for row in rows if task in (row.category, TOTAL)]
        single, multi = [row.single for row in group], [row.multi for row in group]
        for metric, columns in (("single", [single]), ("multi", [multi]), ("overall", [single, multi])):
            value, stderr = mean(columns)
            missing = sum(None in values for values in zip(*columns, strict=True))
            found.append(
                Score(task=task, metric=metric, value=value, stderr=stderr, items=len(group), missing=missing)
            )
    return found


def samples(rows: list[Row]) -> list[Sample]:
    """Return each question's scores; overall only where both verdicts are there."""
    return [
        Sample(task=row.category, item=row.id, metric=metric, value=sum(found) / len(found))
        for row in rows
        for metric, values in (("single", [row.single]), ("multi", [row.multi]), ("overall", [row.single, row.multi]))
        if len(found := [value for value in values if value is not None]) == len(values)
    ]


def mean(columns: Sequence[Sequence[float | None]]) -> tuple[float | None, float | None]:
    """Return the mean of the columns' means, with its standard error over the items; None where it is not known.

    What an item adds to the mean is taken over all columns at once, since its two scores go together.
    """
    present = [[value for value in column if value is not None] for column in columns]
    if not all(present):
        return None, None
    means = [sum(values) / len(values) for values in present]
    parts = [
        [
            (value - column_mean) / len(values)
            for value, values, column_mean in zip(item, present, means, strict=True)
            if value is not None
        ]
        for item in zip(*columns, strict=True)
    ]
    shares = [sum(part) / len(columns) for part in parts if part]
    value = sum(means) / len(means)
    if len(shares) < 2:
        return value, None
    return value, sqrt(sum(share**2 for share in shares) * len(shares) / (len(shares) - 1))


def render(scores: list[Score], of: int) -> str:
    """Return the figures as a Markdown table, a row for each category. of: how many questions there should be."""
    rows: list[tuple[str, ...]] = [HEADINGS]
    for single, multi, overall in zip(scores[::3], scores[1::3], scores[2::3], strict=True):
        is_total = single.task == TOTAL
        count = f"{single.items} of {of}" if is_total and single.items < of else str(single.items)
        figures = [_figure(score) for score in (single, multi, overall)]
        rows.append(("Total" if is_total else single.task, count, *figures, str(single.missing + multi.missing)))
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (rows[0], rule, *rows[1:]))


def _figure(score: Score) -> str:
    if score.value is None:
        return "-"
    return f"{score.value:.2f}" + (f" ± {score.stderr:.2f}" if score.stderr is not None else "")


def _line(cells: Sequence[str], widths: list[int]) -> str:
    spaces = [" " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)]
    return f"| {' | '.join([cells[0] + spaces[0], *map(str.__add__, spaces[1:], cells[1:])])} |"
