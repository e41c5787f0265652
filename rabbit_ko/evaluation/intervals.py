"""Shares and means with what chance may have made of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

# With fewer values no interval of a mean is given.
LEAST = 6
# Of a bootstrap, and how many counts of items are held at a time.
RESAMPLES, CELLS = 10_000, 4_000_000
Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Share:
    """A share of so many, with its 95 % interval; the share is None where there are none."""

    of: int
    value: float | None = None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Mean:
    """A mean of so many values, and its standard error; None where there are too few for it."""

    of: int
    value: float | None = None
    stderr: float | None = None


def share_of(outcomes: Sequence[bool]) -> Share:
    """Return the share of outcomes that are true, with the interval of Wilson (1927)."""
    n = len(outcomes)
    if not n:
        return Share(0)
    value, z = sum(outcomes) / n, Z * Z / n
    middle, half = value + z / 2, math.sqrt(z * (value * (1 - value) + z / 4))
    return Share(n, value, max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z)))


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of values that do not depend on one another, with its standard error."""
    n = len(values)
    if not n:
        return Mean(0)
    return Mean(n, float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n) if n >= LEAST else None)


def bootstrap(items: int, statistic: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> tuple[float, float] | None:
    """Return the 95 % interval of a statistic over resamples of the items (Efron 1979); None where there are too few.

    statistic: takes how often each item is drawn, of shape (resamples, items), and returns a value for each resample,
    NaN where it has none.
    """
    if items < LEAST:
        return None
    rng, size = np.random.default_rng(0), max(1, CELLS // items)
    sizes = [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]
    shares = np.full(items, 1 / items)
    values = np.concatenate([statistic(rng.multinomial(items, shares, size=size)) for size in sizes])
    low, high = np.quantile(values[~np.isnan(values)], (0.025, 0.975))
    return float(low), float(high)
