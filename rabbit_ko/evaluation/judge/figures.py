"""What the verdicts on answers tell of the judge: whether order, length or chance decide, with intervals."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rabbit_ko.evaluation.intervals import LEAST, Share, Z, share_among
from rabbit_ko.evaluation.judge.verdicts import Verdict, orders

Array = npt.NDArray[Any]

Verdicts = Sequence[tuple[tuple[int, ...], float | None]]


@dataclass(frozen=True)
class Correlation:
    """A correlation over so many prompts, and its 95 % interval, None where there are too few; `all`: over all."""

    prompts: int
    value: float | None = None
    interval: tuple[float, float] | None = None
    all: float | None = None


@dataclass(frozen=True)
class Orders:
    """What comparisons in both orders came to.

    readable, unreadable: verdicts on two answers. both: pairs of answers that have a readable one in each order.
    agreed: of those, that came out alike. first: verdicts, ties apart, in which the first answer is the better one.
    The intervals know that the verdicts on one prompt may depend on one another.
    """

    readable: int
    unreadable: int
    both: int
    agreed: Share
    first: Share


def win_rate(scores: Sequence[float | None], place: int) -> float:
    """Return the share of the other answers that one scores above; a tie counts half."""
    own = scores[place]
    others = [score for other, score in enumerate(scores) if other != place and score is not None]
    assert own is not None
    assert others
    return sum(1.0 if own > score else 0.5 if own == score else 0.0 for score in others) / len(others)


def order_figures(prompts: Iterable[Verdicts]) -> Orders | None:
    """Return what comparisons of two answers came to; None where there are none."""
    scores, agreed = list[list[float | None]](), list[list[bool]]()
    for verdicts in prompts:
        said = [Verdict(answers, score, "") for answers, score in verdicts if len(answers) == 2]
        scores.append([verdict.score for verdict in said])
        pairs = sorted({(min(verdict.answers), max(verdict.answers)) for verdict in said})
        both = [orders(said, one, other) for one, other in pairs]
        agreed.append([first == last for first, last in both if first is not None and last is not None])
    if not any(scores):
        return None
    readable = [[score for score in some if score is not None] for some in scores]
    asked, read, pairs_read = (sum(map(len, each)) for each in (scores, readable, agreed))
    first_wins = share_among([[score > 0.5 for score in some if score != 0.5] for some in readable])
    return Orders(read, asked - read, pairs_read, share_among(agreed), first_wins)


def length_bias(prompts: Iterable[tuple[Sequence[float | None], Sequence[int]]]) -> Correlation:
    """Return how score and length go together among the answers to one prompt, over all prompts.

    prompts: scores and lengths of the answers to each. The length is the logarithm of the characters. From each value
    the mean of its prompt is taken away, so that prompts with long answers and high scores do not count; the interval
    is that of the jackknife over prompts (Efron and Stein 1981), on Fisher's scale.
    """
    groups = [
        np.array([(score, math.log(1 + length)) for score, length in zip(*prompt, strict=True) if score is not None])
        for prompt in prompts
    ]
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        return Correlation(0)
    moments = np.array([_moments(group) for group in groups])
    interval = _interval(moments) if len(groups) >= LEAST else None
    among_all = _correlation(_moments(np.concatenate(groups)))
    return Correlation(len(groups), _correlation(moments.sum(axis=0)), interval, among_all)


def _moments(values: Array) -> Array:
    one, two = (values - values.mean(axis=0)).T
    return np.array([(one * one).sum(), (two * two).sum(), (one * two).sum()])


def _correlation(moments: Array) -> float | None:
    one, two, product = moments
    return float(np.clip(product / math.sqrt(one * two), -1, 1)) if one * two > 0 else None


def _interval(moments: Array) -> tuple[float, float] | None:
    """Return the interval of a correlation from the moments of each prompt, leaving one prompt out at a time."""
    n, rest = len(moments), moments.sum(axis=0) - moments
    squares = rest[:, 0] * rest[:, 1]
    if not (squares > 0).all():
        return None
    scale = np.arctanh(np.clip(rest[:, 2] / np.sqrt(squares), -1 + 1e-12, 1 - 1e-12))
    stderr = math.sqrt((n - 1) / n * float(((scale - scale.mean()) ** 2).sum()))
    middle = float(scale.mean())
    return math.tanh(middle - Z * stderr), math.tanh(middle + Z * stderr)
