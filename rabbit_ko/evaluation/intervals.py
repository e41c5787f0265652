"""Shares and means with what chance may have made of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

# With fewer values no interval of a mean is given.
LEAST = 6
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
