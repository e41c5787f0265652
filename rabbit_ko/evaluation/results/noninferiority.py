"""Whether a candidate is worse than a baseline by more than a margin, or is not: from paired outcomes.

Differences are the candidate's outcome less the baseline's, item by item, in shares of the scale: from -1 to 1.

Outcomes that are right or wrong are tested by Tango's score (Statistics in Medicine 17, 1998, pages 891 to 908),
moved by one item against what is claimed. Its variance is that of outcomes at the bound, so it needs no item that
changed, and its errors keep to their rate over all outcomes that there can be; with twenty suites they exceed it by a
fifth at most. Others, such as a judge's points, are tested by Gaffke's statistic for means of bounded outcomes
(Mathematical Methods of Statistics 14, 2005; Learned-Miller and Thomas, arXiv 1905.06208): one item more has changed
by the whole scale, against what is claimed, and chance weighs the items anew. It assumes no shape, so it holds for
few and skewed outcomes, too. That its errors keep to their rate is proven where outcomes have two values; for others
no exception is known.
"""

from collections.abc import Sequence
from math import ceil, erfc, pi, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
POWER = 0.8
_STEPS = 40
# Where an integral is summed: from the saddle point outwards, in widths of it.
_STRIDE = 0.1
_PLACES = _STRIDE * np.arange(160)


def p_below(differences: Array, bound: float) -> float:
    """Return the p-value of the claim that the true mean of differences is below a bound."""
    if _is_graded(differences):
        return _weighed(*np.unique(differences, return_counts=True), bound)
    worse, better = np.count_nonzero(differences < 0), np.count_nonzero(differences > 0)
    return erfc(-float(tango(worse, better, len(differences), bound)) / sqrt(2)) / 2


def p_above(differences: Array, bound: float) -> float:
    """Return the p-value of the claim that the true mean of differences is above a bound."""
    return p_below(-differences, -bound)


def tango(worse: npt.ArrayLike, better: npt.ArrayLike, n: int, bound: float) -> Array:
    """Return Tango's score of counts of n items for a mean difference below the bound, one item nearer to it."""
    down, up = np.asarray(worse) / n, np.asarray(better) / n
    variance, distance = n * _variance_at(down, up, bound), n * (up - down - bound) + 1
    return np.where(variance > 1e-9, distance / np.sqrt(np.maximum(variance, 1e-9)), 0.0)


def _variance_at(worse: Array, better: Array, bound: float) -> Array:
    """Return the variance of an item's difference at a bound, where shares of items came out worse and better.

    The share of worse items at the bound is the likeliest one, the root of a quadratic equation.
    """
    slope = bound * (2 + worse - better) - worse - better
    root = np.sqrt(np.maximum(slope**2 + 8 * worse * bound * (1 - bound), 0))
    return np.asarray((root - slope) / 2 + bound * (1 - bound))


def _weighed(values: Array, counts: npt.NDArray[Any], bound: float) -> float:
    """Return how likely the mean of items that chance weighs anew is not below a bound, with one more that rose by 1.

    Weights are exponential, which is the same as uniform over all that add up to one.
    """
    values, counts = np.append(values, 1.0) - bound, np.append(counts, 1)
    if values.min() >= 0:
        return 1.0
    return 1 - _tail(-values, counts) if values @ counts > 0 else _tail(values, counts)


def _tail(values: Array, counts: npt.NDArray[Any]) -> float:
    """Return the probability that a sum of values with exponential weights, whose mean is not above 0, is above 0.

    By the inversion of its moment generating function along the line through the saddle point: Lugannani and Rice,
    Advances in Applied Probability 12, 1980, pages 475 to 490.
    """
    low, high = 0.0, 1 / float(values.max())
    for _ in range(_STEPS):
        middle = (low + high) / 2
        is_left = np.sum(counts * values / (1 - middle * values)) < 1 / middle
        low, high = (middle, high) if is_left else (low, middle)
    width = 1 / sqrt(np.sum(counts * (values / (1 - low * values)) ** 2) + 1 / low**2)
    line = low + 1j * width * np.sinh(_PLACES)
    heights = (np.exp(-np.log(1 - np.outer(line, values)) @ counts) / line).real * width * np.cosh(_PLACES)
    return float(np.clip((heights.sum() - heights[0] / 2) * _STRIDE / pi, 0, 1))


def interval(differences: Array, error: float) -> tuple[float, float]:
    """Return the bounds below and above which the true mean is with a probability of at most `error` each."""
    return -_highest(-differences, error), _highest(differences, error)


def _highest(differences: Array, error: float) -> float:
    """Return the least bound that the mean is below with certainty, by halving."""
    low, high = float(np.mean(differences)), 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if p_below(differences, middle) <= error else (middle, high)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values as they are after Holm's steps, by which at most `error` of all sets holds any false claim.

    Holm, Scandinavian Journal of Statistics 6, 1979, pages 65 to 70.
    """
    adjusted, largest = list(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(adjusted)), key=adjusted.__getitem__)):
        largest = max(largest, min(1.0, (len(adjusted) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def items_needed(differences: Array, distance: float, error: float) -> int:
    """Return about how many items tell a bound from a true mean that is so far above it, four times in five.

    Of right and wrong by their variances at the bound and at the truth: Nam, Biometrics 53, 1997, pages 1422 to 1430,
    with the item by which the score is moved; there the next item is counted as one that changed.
    """
    if _is_graded(differences):
        return _grades_needed(differences, distance, error)
    n, certain, found = len(differences), *map(NormalDist().inv_cdf, (1 - error, POWER))
    changed = (np.count_nonzero(differences) + 1) / (n + 1)
    each = np.array(changed / 2)
    spread = certain * sqrt(float(_variance_at(each, each, -distance))) + found * sqrt(changed)
    return ceil(((spread + sqrt(spread**2 + 4 * distance)) / (2 * distance)) ** 2)


def _grades_needed(differences: Array, distance: float, error: float) -> int:
    """Return the least number of items that tell, of such items whose mean is as low as it is once in five times."""
    values, counts = np.unique(np.mean(differences) - differences, return_counts=True)
    shortfall = NormalDist().inv_cdf(POWER) * float(np.std(differences))

    def is_told(n: float) -> bool:
        return _weighed(values, counts * (n / len(differences)), distance - shortfall / sqrt(n)) <= error

    low, high = 0.0, 1.0
    while not is_told(high):
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_told(middle) else (middle, high)
    return ceil(high)


def _is_graded(differences: Array) -> bool:
    """Whether items differ by parts of the scale, not only by the whole of it."""
    return bool(np.any(np.abs(differences[differences != 0]) != 1))
