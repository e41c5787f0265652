"""Whether a candidate is worse than a baseline by more than a margin, or is not: from paired outcomes.

Differences are the candidate's outcome less the baseline's, item by item, in shares of the scale: from -1 to 1.

Outcomes that are right or wrong are tested by Tango's score (Statistics in Medicine 17, 1998, pages 891 to 908),
moved by one item against what is claimed. Its variance is that of outcomes at the bound, so it needs no item that
changed, and its errors keep to their rate over all outcomes that there can be; with twenty suites they exceed it by a
fifth at most. Others are tested by Student's t for pairs, whose variance is that of the items. Where hardly any of
them changed that is too little to go by: each counts as if it had changed by the whole scale, against the claim.
"""

from collections.abc import Sequence
from enum import Enum, auto
from math import ceil, erfc, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
# Of items that differ, for their spread to be believed.
LEAST_CHANGED = 10
POWER = 0.8
_STEPS = 40


class Changes(Enum):
    """By how much items differ: by the whole scale, by parts of it, or by parts and so few that each counts."""

    WHOLE = auto()
    GRADED = auto()
    FEW = auto()


def p_below(differences: Array, bound: float) -> float:
    """Return the p-value of the claim that the true mean of differences is below a bound."""
    n, changes = len(differences), _changes(differences)
    if changes is not Changes.GRADED:
        worse = np.count_nonzero(differences < 0) if changes is Changes.WHOLE else 0
        return erfc(-float(tango(worse, np.count_nonzero(differences > 0), n, bound)) / sqrt(2)) / 2
    from scipy.special import stdtr

    return float(stdtr(n - 1, (np.mean(differences) - bound) / np.std(differences, ddof=1) * sqrt(n)))


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

    By the variance of the differences: Julious, Statistics in Medicine 23, 2004, pages 1921 to 1986; of right and
    wrong by that at the bound, too: Nam, Biometrics 53, 1997, pages 1422 to 1430, with the item by which the score is
    moved. There the next item is counted as one that changed.
    """
    n, certain, found = len(differences), *map(NormalDist().inv_cdf, (1 - error, POWER))
    if _changes(differences) is Changes.GRADED:
        return ceil(((certain + found) * float(np.std(differences, ddof=1)) / distance) ** 2)
    changed = (np.count_nonzero(differences) + 1) / (n + 1)
    each = np.array(changed / 2)
    spread = certain * sqrt(float(_variance_at(each, each, -distance))) + found * sqrt(changed)
    return ceil(((spread + sqrt(spread**2 + 4 * distance)) / (2 * distance)) ** 2)


def _changes(differences: Array) -> Changes:
    changed = np.abs(differences[differences != 0])
    if np.all(changed == 1):
        return Changes.WHOLE
    return Changes.GRADED if len(changed) >= LEAST_CHANGED else Changes.FEW
