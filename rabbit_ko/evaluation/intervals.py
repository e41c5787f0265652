"""Shares and means with what chance may have made of them."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

# With fewer values no interval of a mean is given: not even that all of them change in one way is rare under chance,
# 2 of 2 ** 5 ways to toss five coins.
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

    def interval(self, error: float = 0.05) -> tuple[float, float] | None:
        """Return the interval of Student's t that misses the true mean so often; None where there is no error."""
        if self.value is None or self.stderr is None:
            return None
        half = t_quantile(self.of - 1, error) * self.stderr
        return self.value - half, self.value + half


def share_of(outcomes: Sequence[bool]) -> Share:
    """Return the share of outcomes that are true, with the interval of Wilson (1927)."""
    return _wilson(sum(outcomes), len(outcomes), len(outcomes), Z) if outcomes else Share(0)


def share_among(groups: Iterable[Sequence[bool]], error: float = 0.05) -> Share:
    """Return the share of outcomes that are true, where those of one group may depend on one another.

    The interval is Wilson's, of as many outcomes as these are worth by their design effect (Kish, Survey Sampling,
    1965), with the quantile of t for so many groups. Where few groups have either outcome, nothing is known of that,
    and each group is worth one.
    """
    found = [group for group in groups if group]
    sizes, hits = (np.array([measure(group) for group in found], float) for measure in (len, sum))
    n, k = int(sizes.sum()), len(found)
    if n == k:
        return _wilson(int(hits.sum()), n, n, NormalDist().inv_cdf(1 - error / 2)) if n else Share(0)
    value = hits.sum() / n
    variance = k / (k - 1) * float(((hits - value * sizes) ** 2).sum()) / n**2 if k > 1 else 0.0
    is_known = variance > 0 and min(np.count_nonzero(hits), np.count_nonzero(sizes - hits)) >= LEAST
    worth = min(n, max(k, float(value * (1 - value) / variance))) if is_known else k
    return _wilson(int(hits.sum()), n, worth, t_quantile(max(k - 1, 1), error))


def _wilson(hits: int, n: int, worth: float, quantile: float) -> Share:
    value, z = hits / n, quantile * quantile / worth
    middle, half = value + z / 2, math.sqrt(z * (value * (1 - value) + z / 4))
    return Share(n, value, max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z)))


def t_quantile(freedom: int, error: float = 0.05) -> float:
    """Return the quantile of Student's t beyond which, on either side, so much is."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - error / 2))


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of values that do not depend on one another, with its standard error."""
    n = len(values)
    if not n:
        return Mean(0)
    return Mean(n, float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n) if n >= LEAST else None)


def bootstrap(
    items: int,
    statistic: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    kinds: npt.NDArray[Any] | None = None,
) -> tuple[float, float] | None:
    """Return the 95 % interval of a statistic over resamples of the items (Efron 1979); None where there are too few.

    Its quantiles lie further out the fewer items there are, for it to be as wide as that of Student's t: the expanded
    percentile interval of Hesterberg, The American Statistician 69, 2015, pages 371 to 386.

    statistic: takes how often each item is drawn, of shape (resamples, items), and returns a value for each resample,
    NaN where it has none. kinds: how many items are alike, of each kind that the statistic takes in their place.
    """
    if items < LEAST:
        return None
    rng, size = np.random.default_rng(0), max(1, CELLS // (items if kinds is None else len(kinds)))
    sizes = [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]
    drawn = (
        _drawn(rng, items, size) if kinds is None else rng.multinomial(items, kinds / items, size) for size in sizes
    )
    values = np.concatenate([statistic(counts) for counts in drawn])
    tail = NormalDist().cdf(-math.sqrt(items / (items - 1)) * t_quantile(items - 1))
    low, high = np.quantile(values[~np.isnan(values)], (tail, 1 - tail))
    return float(low), float(high)


def _drawn(rng: np.random.Generator, items: int, resamples: int) -> npt.NDArray[Any]:
    """Return how often each item is among as many that are drawn, which is faster to count than to draw."""
    places = rng.integers(items, size=(resamples, items)) + items * np.arange(resamples)[:, None]
    return np.bincount(places.ravel(), minlength=resamples * items).reshape(resamples, items)
