"""The table of judged rows, by upstream's rule.

A category's figure, and the total's, is the plain mean over its questions: the total is no mean of category means,
which would be another number where categories differ in size. Overall is the mean of the single-turn and the
multi-turn mean. A missing verdict is in no mean; it is counted and shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from rabbit_ko.evaluation.logickor.questions import CATEGORIES, Category
from rabbit_ko.evaluation.records import Sample, Score

TOTAL = "total"
Values = Sequence[float | None]


@dataclass(frozen=True)
class Row:
    """A question with the scores of its two answers; None is a missing verdict."""

    id: str
    category: Category
    single: float | None
    multi: float | None


def scores(rows: list[Row]) -> list[Score]:
    """Return single, multi and overall of each category, with or without questions, and of all of them."""
    groups = {category: [row for row in rows if row.category == category] for category in CATEGORIES}
    return [score for task, group in [*groups.items(), (TOTAL, rows)] for score in _scores(task, group)]


def samples(rows: list[Row]) -> list[Sample]:
    """Return what each question came to; overall only where both verdicts are there."""
    return [
        Sample(task=row.category, item=row.id, metric=metric, value=sum(found) / len(found))
        for row in rows
        for metric, values in (("single", [row.single]), ("multi", [row.multi]), ("overall", [row.single, row.multi]))
        if len(found := [value for value in values if value is not None]) == len(values)
    ]


def _scores(task: str, rows: list[Row]) -> Iterator[Score]:
    single, multi = [row.single for row in rows], [row.multi for row in rows]
    for metric, columns in (("single", [single]), ("multi", [multi]), ("overall", [single, multi])):
        value, stderr = mean(columns)
        missing = sum(None in values for values in zip(*columns, strict=True))
        yield Score(task=task, metric=metric, value=value, stderr=stderr, items=len(rows), missing=missing)


def mean(columns: Sequence[Values]) -> tuple[float | None, float | None]:
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
