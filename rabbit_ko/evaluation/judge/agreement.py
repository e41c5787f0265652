"""How far two judges agree on the answers of a stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rabbit_ko.evaluation.intervals import bootstrap

Array = npt.NDArray[Any]
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Agreement:
    """How far scores of so many questions are apart on average, and the rank correlation, with 95 % intervals."""

    of: int
    difference: float
    difference_interval: Interval
    correlation: float | None
    correlation_interval: Interval

    def __str__(self) -> str:
        said = f"scores differ by {self.difference:.2f}{_interval(self.difference_interval)} on average"
        if self.correlation is not None:
            said += f", rank correlation {self.correlation:.2f}{_interval(self.correlation_interval)}"
        return f"{said}, over {self.of:,} questions"


def _interval(found: Interval) -> str:
    return f" ({found[0]:.2f}-{found[1]:.2f})" if found else ""


def agreement(one: Mapping[str, float], other: Mapping[str, float]) -> Agreement | None:
    """Return how far the scores of two judges agree on the questions that both have; None where there are none.

    The correlation is Spearman's, whose ranks are those among all questions in each resample, too.
    """
    common = sorted(one.keys() & other.keys())
    if not common:
        return None
    scores = np.array([(one[item], other[item]) for item in common]).T
    apart, ranks = np.abs(scores[0] - scores[1]), np.array([_ranks(column) for column in scores])
    value = float(_correlations(ranks, np.ones((1, len(common))))[0])
    is_there = not np.isnan(value)
    return Agreement(
        len(common),
        float(apart.mean()),
        bootstrap(len(common), lambda counts: counts @ apart / len(common)),
        value if is_there else None,
        bootstrap(len(common), lambda counts: _correlations(ranks, counts)) if is_there else None,
    )


def _ranks(values: Array) -> Array:
    """Return the rank of each value; those that are the same share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def _correlations(ranks: Array, counts: Array) -> Array:
    """Return the correlation of two rows of ranks, items drawn as often as counts say; NaN where there is none."""
    shares = counts / counts.sum(axis=1, keepdims=True)
    one, other = ranks - ranks.mean(axis=1, keepdims=True)
    means = shares @ one, shares @ other
    product = shares @ (one * other) - means[0] * means[1]
    spread = (shares @ one**2 - means[0] ** 2) * (shares @ other**2 - means[1] ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.where(spread > 1e-12, product / np.sqrt(spread), np.nan)
    return found
