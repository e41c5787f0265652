"""How a judge's scores go with those that people gave, with intervals of the bootstrap over items."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rabbit_ko.evaluation.intervals import LEAST, Mean, t_quantile
from rabbit_ko.evaluation.judge.figures import Correlation
from rabbit_ko.evaluation.judge_check.measures import SIGN, Judged, mean_over

Array = npt.NDArray[Any]
RESAMPLES = 1000


@dataclass(frozen=True)
class Agreement:
    """How the scores of so many answers go with those of people. distance: how far apart, the mean over items.

    sure: the interval of the rank correlation as that of a sign.
    """

    answers: int
    spearman: Correlation
    pearson: Correlation
    distance: Mean
    sure: tuple[float, float] | None = None


def agreement(judged: Sequence[Judged], resamples: int = RESAMPLES) -> Agreement | None:
    """Return how scores go with those of people; None where no item has both.

    Items are drawn again with all their answers; the interval is by the spread of what comes of it on Fisher's scale,
    with the quantile of t for so many items.
    """
    rows = [
        (number, given, found)
        for number, each in enumerate(judged)
        for place, given in enumerate(each.item.human)
        if (found := each.score(place)) is not None
    ]
    if not rows:
        return None
    numbers, human, score = np.array(rows, float).T
    items = np.unique(numbers, return_inverse=True)[1]
    n = int(items.max()) + 1
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), resamples)[:, items]
    weights = np.vstack([np.ones(len(items)), drawn])
    spearman = _correlations(_ranks(human, weights), _ranks(score, weights), weights)
    pearson = _correlations(human[None, :], score[None, :], weights)
    distance = mean_over([float(np.abs(human - score)[items == item].mean()) for item in range(n)])
    ranks, values = _with_interval(spearman, n), _with_interval(pearson, n)
    return Agreement(len(rows), ranks, values, distance, _with_interval(spearman, n, SIGN).interval)


def _ranks(values: Array, weights: Array) -> Array:
    """Return the middle rank of each value in each draw, in which it stands as often as its weight says."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(counts, axis=1) - counts / 2)[:, np.unique(values, return_inverse=True)[1]]


def _correlations(one: Array, other: Array, weights: Array) -> Array:
    """Return the correlation in each draw; NaN where one side does not vary."""
    total = weights.sum(axis=1, keepdims=True)
    one, other = (values - (values * weights).sum(axis=1, keepdims=True) / total for values in (one, other))
    product, own, others = ((weights * a * b).sum(axis=1) for a, b in ((one, other), (one, one), (other, other)))
    square = own * others
    return np.where(square > 1e-9, product / np.sqrt(np.maximum(square, 1e-9)), np.nan)


def _with_interval(values: Array, items: int, error: float = 0.05) -> Correlation:
    """Return the first value, and what the others, of draws, tell of how sure it is."""
    if math.isnan(values[0]):
        return Correlation(items)
    value, others = float(np.clip(values[0], -1, 1)), values[1:][~np.isnan(values[1:])]
    if items < LEAST or len(others) < 2:
        return Correlation(items, value)
    middle, *scale = np.arctanh(np.clip([value, *others], -1 + 1e-12, 1 - 1e-12)).tolist()
    half = t_quantile(items - 1, error) * float(np.std(scale, ddof=1))
    return Correlation(items, value, (math.tanh(middle - half), math.tanh(middle + half)))
