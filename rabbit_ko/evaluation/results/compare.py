"""Whether two stages differ by more than chance: by a paired bootstrap over the items that both stages kept.

Otherwise by the standard errors of two independent means, which finds fewer differences.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import hypot, isclose
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from rabbit_ko.evaluation.intervals import LEAST, bootstrap, t_quantile
from rabbit_ko.evaluation.judge.scores import OVERALL, TOTAL
from rabbit_ko.evaluation.records import Result, Sample, Score, State

Array = npt.NDArray[np.float64]


class How(StrEnum):
    """How the interval of a difference came about, or why two figures are not compared."""

    BOOTSTRAP = "paired bootstrap"
    ERRORS = "standard errors"
    SETTINGS = "other settings"
    STALE = "stale"
    FEW = "few items"
    NO_ERROR = "no standard error"


@dataclass(frozen=True)
class Comparison:
    """A figure's difference from that of the stage before with its 95 % interval, or why there is none."""

    before: str
    how: How
    settings: tuple[str, ...] = ()
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def exceeds_chance(self) -> bool:
        # Sums of decimal fractions are off by some 1e-16.
        return self.low > 1e-12 or self.high < -1e-12


@dataclass
class Figure:
    """A figure of one stage, the values of its items where they are known, and how the stage before compares.

    weights: of items that count for more than one, such as questions of several turns.
    """

    score: Score
    result: Result
    items: dict[str, float] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)
    comparison: Comparison | None = None

    @property
    def is_stale(self) -> bool:
        return self.result.state is State.STALE


def figure_of(score: Score, result: Result, samples: list[Sample]) -> Figure:
    """Return a figure with what was kept of its items. A judged question weighs as many as it has turns."""
    if not result.is_judged:
        return Figure(score, result, values_of(score, samples))
    own = [sample for sample in samples if score.task in (sample.task, TOTAL)]
    turns = own if score.metric == OVERALL else []
    weights = Counter(f"{sample.task} {sample.item} 1" for sample in turns if sample.metric != OVERALL)
    # Where a verdict is missing, those that are there need not add up to the figure.
    return Figure(score, result, by_item([sample for sample in own if sample.metric == score.metric]), weights)


def values_of(score: Score, samples: list[Sample]) -> dict[str, float]:
    """Return the value of each item of a figure; none where they were not kept, or do not add up to the figure."""
    same_metric = [sample for sample in samples if sample.metric == score.metric]
    # The figure of a group of tasks is the mean over the items of all of them; older results do not name them.
    own = [sample for sample in same_metric if sample.task in (score.tasks or [score.task])]
    values = by_item(own or same_metric)
    fits = values and score.value is not None and isclose(fmean(values.values()), score.value, abs_tol=1e-6)
    return values if fits else {}


def by_item(samples: list[Sample]) -> dict[str, float]:
    """Return the values of samples of one metric by their item; one that is there twice is told by its turn."""
    turns, values = Counter[str](), {}
    for sample in samples:
        turns[name := f"{sample.task} {sample.item}"] += 1
        values[f"{name} {turns[name]}"] = sample.value
    return values


def differing_settings(before: Result, after: Result) -> tuple[str, ...]:
    """Return the names of all that two results were measured with and that is not the same."""
    was, now = (
        {**result.settings, "backend": result.model.backend, "harness": result.versions.get("lm_eval")}
        for result in (before, after)
    )
    return tuple(key for key in was | now if was.get(key) != now.get(key))


def compare(before: Figure, after: Figure) -> Comparison | None:
    """Compare a figure with that of the stage before; None where one of them has no value."""
    stage, old, new = before.result.stage, before.score, after.score
    if old.value is None or new.value is None:
        return None
    if before.is_stale or after.is_stale:
        return Comparison(stage, How.STALE)
    if differing := differing_settings(before.result, after.result):
        return Comparison(stage, How.SETTINGS, differing)
    common = sorted(before.items.keys() & after.items.keys())
    if common:
        pairs = [(before.items[item], after.items[item], before.weights.get(item, 1)) for item in common]
        difference, interval = paired(*np.array(pairs, float).T)
        return Comparison(stage, How.BOOTSTRAP, (), difference, *interval) if interval else Comparison(stage, How.FEW)
    if min(old.items, new.items) < LEAST:
        return Comparison(stage, How.FEW)
    if not old.stderr or not new.stderr:  # that of outcomes which are all the same says nothing of others
        return Comparison(stage, How.NO_ERROR)
    difference, margin = new.value - old.value, 2 * hypot(old.stderr, new.stderr)
    return Comparison(stage, How.ERRORS, (), difference, difference - margin, difference + margin)


def paired(before: Array, after: Array, weights: Array) -> tuple[float, tuple[float, float] | None]:
    """Return the weighted mean of `after - before`, item by item, and its 95 % interval; None of too few items.

    The interval is the bootstrap's, and nowhere narrower than Student's t, since resamples of few items do not lie so
    far out. Items that differ by the same and weigh the same are drawn together.
    """
    kinds, counts = np.unique(np.stack([after - before, weights]), axis=1, return_counts=True)
    differences, each, n = *kinds, len(before)

    def mean(drawn: npt.NDArray[Any]) -> Array:
        return np.asarray(drawn @ (differences * each) / (drawn @ each))

    found = float(mean(counts))
    if (interval := bootstrap(n, mean, counts)) is None:
        return found, None
    spread = float(np.sqrt(counts @ (each * (differences - found)) ** 2 * n / (n - 1)) / (counts @ each))
    half = t_quantile(n - 1) * spread
    return found, (min(interval[0], found - half), max(interval[1], found + half))
