"""The figures of a judged bench with their intervals, their table, and the judged rows that they are of.

The figure of a turn is the plain mean over the questions that have it; overall is the mean of those means, each
weighted by its questions. That is LogicKor's rule, where all have two turns, and MT-bench's, the mean over all
verdicts. A missing verdict is in no mean; it is counted and shown.
"""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len, set_cell_size

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.intervals import bootstrap, share_of
from rabbit_ko.evaluation.judge.forms import HIGHEST
from rabbit_ko.evaluation.judge.questions import CATEGORIES, Asked, read_rows
from rabbit_ko.evaluation.records import Sample, Score
from rabbit_ko.markdown import cell

TOTAL, OVERALL = "total", "overall"
QUERY = "query_"
# In the place of a score that is not asked for.
_NONE = -1.0
_TURN = re.compile(rf"{QUERY}(single|multi|turn [0-9]{{1,3}})")

Array = npt.NDArray[Any]


class Row(NamedTuple):
    """A question with the scores of the answers to its turns; None is a missing verdict."""

    id: str
    category: str
    scores: tuple[float | None, ...]


class JudgedRow(Asked, extra="allow", frozen=True):
    """A row of a file, this project's or LogicKor's own. of: how many rows there should be, 42 of LogicKor's."""

    of: int = 42


def read_judged(file: Path) -> tuple[list[Row], list[str], int]:
    """Read judged rows, the names of their turns, and how many rows there should be.

    Raises OSError, and UserError where one is wrong, or none is judged.
    """
    judged = read_rows(file, JudgedRow)
    found = {found[1] for row in judged for key in row.model_extra or {} if (found := _TURN.fullmatch(key))}
    numbered = sorted(found - {"single", "multi"}, key=lambda name: int(name.split()[1]))
    if not found:
        raise UserError(f"{file}: no row in it is judged; `rabbit judge --bench {file}` has its questions judged")
    turns = numbered or ["single", "multi"]
    rows = [Row(row.name, row.category, _scores(row.model_extra or {}, turns)) for row in judged]
    return rows, turns, max(row.of for row in judged)


def _scores(row: dict[str, Any], turns: Sequence[str]) -> tuple[float | None, ...]:
    """Return a row's scores: of the turns that it has where they are numbered, and else of all."""
    names = [name for name in turns if f"{QUERY}{name}" in row or not name.startswith("turn ")]
    return tuple(_score(row.get(f"{QUERY}{name}")) for name in names)


def _score(query: Any) -> float | None:
    score: Any = query.get("judge_score") if isinstance(query, dict) else None
    return score if type(score) in (int, float) and 0 <= score <= HIGHEST else None


def turn_names(rows: Sequence[Row]) -> list[str]:
    """Return the names of turns that have none of their own."""
    return [f"turn {number}" for number in range(1, 1 + max(len(row.scores) for row in rows))]


def tasks_of(names: Iterable[str]) -> list[str]:
    """Return the categories among names, LogicKor's in its order and others as they come, and the name of all."""
    found = list(dict.fromkeys(name for name in names if name not in ("", TOTAL)))
    known = [*CATEGORIES]
    return [*sorted(found, key=lambda name: known.index(name) if name in known else len(known)), TOTAL]


def scores(rows: Sequence[Row], turns: Sequence[str]) -> list[Score]:
    """Return the figures of each turn and overall, of each category and of all; of a single turn only overall."""
    return [
        _figure(task, metric, [[row.scores[at] if at < len(row.scores) else _NONE for at in places] for row in group])
        for task in tasks_of(row.category for row in rows)
        for group in [[row for row in rows if task in (row.category, TOTAL)]]
        for metric, places in _metrics(turns)
    ]


def samples(rows: Sequence[Row], turns: Sequence[str]) -> list[Sample]:
    """Return each question's scores; overall only where all its verdicts are there."""
    found = []
    for row in rows:
        for metric, places in _metrics(turns):
            own = [row.scores[place] for place in places if place < len(row.scores)]
            if own and None not in own:
                value = sum(score or 0.0 for score in own) / len(own)
                found.append(Sample(task=row.category or TOTAL, item=row.id, metric=metric, value=value))
    return found


def _metrics(turns: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Return the figures by name, with the places of the turns that each is of."""
    single = [(name, [place]) for place, name in enumerate(turns)] if len(turns) > 1 else []
    return [*single, (OVERALL, [*range(len(turns))])]


def _figure(task: str, metric: str, found: Sequence[Sequence[float | None]]) -> Score:
    """Return a figure of questions; of each the scores of its turns, -1 where it has no such turn."""
    rows = [row for row in found if any(score != _NONE for score in row)]
    table = np.array(rows, dtype=float).reshape(-1, len(found[0]))
    asked = table != _NONE
    values = np.where(asked, table, np.nan)
    missing = int((asked & np.isnan(values)).any(axis=1).sum())
    if not len(rows) or not (~np.isnan(values)).any(axis=0)[asked.any(axis=0)].all():
        return Score(task=task, metric=metric, value=None, items=len(rows), missing=missing)

    def statistic(counts: Array) -> Array:
        return _means(values, asked, counts)

    value, stderr = float(statistic(np.ones((1, len(rows))))[0]), _stderr(values, asked)
    low, high = bootstrap(len(rows), statistic) or (None, None)
    if low is not None and high is not None and math.isclose(low, high, abs_tol=1e-9):
        low, high = _of_the_same(value, len(rows))
    return Score(
        task=task, metric=metric, value=value, stderr=stderr, low=low, high=high, items=len(rows), missing=missing
    )


def _of_the_same(value: float, questions: int) -> tuple[float, float]:
    """Return the interval where all questions have the same score, of which no resample differs.

    As many other questions as Wilson's interval allows may have another score, at worst one at an end of the scale.
    """
    others = 1 - share_of([True] * questions).low
    return value - others * value, value + others * (HIGHEST - value)


def _means(values: Array, asked: Array, counts: Array) -> Array:
    """Return the weighted mean of the turns' means, each question drawn as often as counts say, by resample."""
    drawn, read = counts @ asked, counts @ ~np.isnan(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (counts @ np.nan_to_num(values)) / read
    weights = drawn / drawn.sum(axis=1, keepdims=True)
    found: Array = np.where(drawn > 0, weights * means, 0.0).sum(axis=1)
    return found


def _stderr(values: Array, asked: Array) -> float | None:
    """Return the standard error of that mean over questions, whose scores go together, or None for a single one."""
    read, weights = (~np.isnan(values)).sum(axis=0), asked.sum(axis=0) / asked.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.nan_to_num(weights * (values - np.nansum(values, axis=0) / read) / read).sum(axis=1)
    n = int((~np.isnan(values)).any(axis=1).sum())
    return float(np.sqrt((shares**2).sum() * n / (n - 1))) if n > 1 else None


def figure_text(score: Score) -> str:
    """Write a figure with its interval, and how many verdicts are missing."""
    text = "-" if score.value is None else f"{score.value:.2f}"
    if score.low is not None and score.high is not None:
        text += f" ({score.low:.2f}-{score.high:.2f})"
    return f"{text} ({score.missing} missing)" if score.missing else text


def render(scores: Sequence[Score], of: int = 0) -> str:
    """Return the figures as a Markdown table, a row for each category. of: how many questions there should be."""
    metrics = list(dict.fromkeys(score.metric for score in scores))
    rows = [["Category", "Questions", *(metric.capitalize() for metric in metrics)]]
    for task in dict.fromkeys(score.task for score in scores):
        figures = {score.metric: score for score in scores if score.task == task}
        items = max(score.items for score in figures.values())
        count = f"{items} of {of}" if task == TOTAL and items < of else str(items)
        texts = (figure_text(figures[metric]) for metric in metrics)
        rows.append([TOTAL.capitalize() if task == TOTAL else cell(task), count, *texts])
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(set_cell_size, row, widths))} |" for row in rows)
