"""How many items the gate needs: simulated right and wrong answers of two stages with a known difference.

    python -m tests.rabbit_ko.evaluation.results.measure_gate

prints the table of docs/evaluation.md: for a number of suites and the correlation of both stages' answers, the least
number of items, in two digits, with which four in five of DRAWS gates say what is so. Half of the baseline's answers
are right. A dash: answers that differ so much cannot go together so well.
"""

from dataclasses import dataclass
from math import floor, log10

import numpy as np
from scipy.stats import norm

from rabbit_ko.evaluation.results.gate import ERROR
from rabbit_ko.evaluation.results.noninferiority import POWER, Array, tango

DRAWS = 4_000
STEP = 1.03
CORRELATIONS = (0.3, 0.6, 0.9)
SUITES = (1, 5)


@dataclass(frozen=True)
class Truth:
    """What is so: the candidate's loss in shares, and how its answers and the baseline's go together."""

    loss: float
    correlation: float

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares of items that get worse, get better, and stay as they are."""
        right, was = 0.5 - self.loss, 0.5
        both = right * was + self.correlation * (right * (1 - right) * was * (1 - was)) ** 0.5
        return was - both, right - both, 1 - was - right + 2 * both


def power(truth: Truth, n: int, margin: float, error: float) -> float:
    """Return how many gates of n items say what is so: worse by more than the margin, or not."""
    drawn = np.random.default_rng(n).multinomial(n, truth.shares, size=DRAWS)
    is_worse = truth.loss > margin
    worse, better = (drawn[:, 0], drawn[:, 1]) if is_worse else (drawn[:, 1], drawn[:, 0])
    scores: Array = tango(worse, better, n, -margin if is_worse else margin)
    return float(np.mean(norm.cdf(scores) <= error))


def least_items(truth: Truth, margin: float, error: float) -> int | None:
    """Return the least n of a series with which the power is there; None where no answers can go together so."""
    if min(truth.shares) < 0:
        return None
    n = 10.0
    while power(truth, round(n), margin, error) < POWER:
        n *= STEP
    return int(round(n, 1 - floor(log10(n))))


def main() -> None:
    """Print the table."""
    columns = [(suites, at) for suites in SUITES for at in CORRELATIONS]
    heads = [f"{suites} suite{'s' if suites > 1 else ''}, {at}" for suites, at in columns]
    print(f"| margin | true loss | verdict | {' | '.join(heads)} |")
    print(f"| ---: | ---: | --- |{' ---: |' * len(heads)}")
    for margin in (0.01, 0.02, 0.05):
        for loss in (0.0, 2 * margin, 4 * margin):
            found = [least_items(Truth(loss, at), margin, ERROR / suites) for suites, at in columns]
            figures = " | ".join("-" if n is None else f"{n:,}" for n in found)
            print(f"| {margin} | {loss:g} | {'fail' if loss > margin else 'pass'} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
