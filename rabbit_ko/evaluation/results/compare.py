"""Whether two stages differ by more than chance: by a paired bootstrap over the items that both stages kept.

Otherwise by the standard errors of two independent means, which finds fewer differences.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from math import hypot, isclose
from statistics import fmean

import numpy as np
import numpy.typing as npt

from rabbit_ko.evaluation.intervals import CELLS, RESAMPLES
from rabbit_ko.evaluation.records import Result, Sample, Score, State

# With fewer pairs not even a unanimous change is rare under chance: 2 of 2 ** 5 ways to toss five coins.
LEAST_ITEMS = 6


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
    """A figure of one stage, the values of its items where they are known, and how the stage before compares."""

    score: Score
    result: Result
    items: dict[str, float] = field(default_factory=dict)
    comparison: Comparison | None = None

    @property
    def is_stale(self) -> bool:
        return self.result.state is State.STALE


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
    if min(old.items, new.items, len(common) or old.items) < LEAST_ITEMS:
        return Comparison(stage, How.FEW)
    if common:
        pairs = np.array([(before.items[item], after.items[item]) for item in common])
        low, high = paired_bootstrap(pairs[:, 0], pairs[:, 1])
        return Comparison(stage, How.BOOTSTRAP, (), float(np.mean(pairs[:, 1] - pairs[:, 0])), low, high)
    if not old.stderr or not new.stderr:  # that of outcomes which are all the same says nothing of others
        return Comparison(stage, How.NO_ERROR)
    difference, margin = new.value - old.value, 2 * hypot(old.stderr, new.stderr)
    return Comparison(stage, How.ERRORS, (), difference, difference - margin, difference + margin)


def paired_bootstrap(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `after - before`, both of shape (n,), over resamples of the n pairs.

    How often each distinct difference is drawn decides the mean, so only that is drawn.
    """
    differences, counts = np.unique(after - before, return_counts=True)
    rng, n = np.random.default_rng(0), counts.sum()
    sizes = np.diff([*range(0, RESAMPLES, max(1, CELLS // len(counts))), RESAMPLES])
    means = np.concatenate([rng.multinomial(n, counts / n, size=size) @ differences / n for size in sizes])
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
