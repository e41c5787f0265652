"""What verdicts tell of a judge, with intervals that know which verdicts are on the same question."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rabbit_ko.evaluation.intervals import LEAST, Mean, Share, mean_of, share_among, share_of, t_quantile
from rabbit_ko.evaluation.judge.forms import HIGHEST
from rabbit_ko.evaluation.judge.verdicts import Verdict, orders
from rabbit_ko.evaluation.judge_check.items import Item
from rabbit_ko.evaluation.judge_check.probes import PROBES, Probe

Array = npt.NDArray[Any]
DEMANDS = {name: probe for name, probe in PROBES.items() if probe.demanded is not None}
# So often may one sign of a fault be a false one, for all of them together to be so in 5 %: Bonferroni. Rises, both
# rankings and what people say are faults on one side of their interval, and half of one; orders are so on both sides.
SIGN = 0.05 / ((len(PROBES) + 3) / 2 + 1 + len(DEMANDS))


class Judged(NamedTuple):
    """What a judge said of an item: the scores of each answer that could be read, and of changed ones by probe."""

    item: Item
    answers: Sequence[Sequence[float]]
    changed: Mapping[str, float]
    compared: Sequence[Verdict]

    def score(self, place: int) -> float | None:
        """Return the mean score of an answer; None where it has none."""
        return fmean(self.answers[place]) if self.answers[place] else None


@dataclass(frozen=True)
class Spread:
    """How far the scores of one answer are apart. answers: with several. moved: of those, with different ones."""

    answers: int
    deviation: float | None
    interval: tuple[float, float] | None
    moved: Share

    @property
    def variance(self) -> float | None:
        return None if self.deviation is None else self.deviation**2


def spread(judged: Sequence[Judged]) -> Spread:
    """Return the standard deviation of scores within an answer, with the interval of the jackknife over items.

    Efron and Stein (1981), on the scale of logarithms, on which the spread of a variance depends little on itself.
    """
    several = [[scores for scores in each.answers if len(scores) > 1] for each in judged]
    several = [groups for groups in several if groups]
    moved = share_among([[len({*scores}) > 1 for scores in groups] for groups in several])
    if not several:
        return Spread(0, None, None, moved)
    sums = np.array([sum(float(np.var(scores)) * len(scores) for scores in groups) for groups in several])
    freedom = np.array([sum(len(scores) - 1 for scores in groups) for groups in several])
    deviation = math.sqrt(sums.sum() / freedom.sum())
    return Spread(moved.of, deviation, _jackknifed(sums, freedom), moved)


def _jackknifed(sums: Array, freedom: Array) -> tuple[float, float] | None:
    n, rest = len(sums), (sums.sum() - sums) / np.maximum(freedom.sum() - freedom, 1)
    if n < LEAST or not (rest > 0).all():
        return None
    logs = np.log(rest)
    half = t_quantile(n - 1) * math.sqrt((n - 1) / n * float(((logs - logs.mean()) ** 2).sum()))
    middle = math.log(sums.sum() / freedom.sum())
    return math.exp((middle - half) / 2), math.exp((middle + half) / 2)


@dataclass(frozen=True)
class Rise(Mean):
    """By how much a change raises the score of the same answer: the mean over items; no error where all are the same.

    full: of those answers, how many have the highest score as they are, so that no rise can be seen.
    """

    full: int = 0

    @property
    def is_steady(self) -> bool:
        """Whether it is the same on each of several questions."""
        return self.of >= LEAST and self.stderr is None

    def bounds(self, error: float = 0.05) -> tuple[float, float] | None:
        """Return between what the true mean is for certain; None where there are too few questions.

        The same rise on each question has no interval. It is taken for certain where so many signs would be alike by
        chance no more often than the error says.
        """
        if not self.is_steady or self.value is None:
            return self.interval(error)
        return (self.value, self.value) if 2 * 0.5**self.of <= error else (-math.inf, math.inf)


def rise(judged: Sequence[Judged], name: str, probe: Probe) -> Rise:
    """Return by how much a change raises the score of the same answer."""
    found = [(each.changed.get(name), each.score(probe.place_in(each.item))) for each in judged]
    pairs = [(changed, score) for changed, score in found if changed is not None and score is not None]
    mean = mean_over([changed - score for changed, score in pairs])
    return Rise(mean.of, mean.value, mean.stderr, sum(score >= HIGHEST for _, score in pairs))


def mean_over(values: Sequence[float]) -> Mean:
    """Return their mean; without an error where all are the same, which does not tell how far others may be."""
    mean = mean_of(values)
    return mean if mean.stderr and mean.stderr > 1e-9 else Mean(mean.of, mean.value)


def only_score(judged: Sequence[Judged]) -> float | None:
    """Return the score that a judge gave each answer, changed ones too; None where it gave several, or few at all."""
    found = [[score for scores in (*each.answers, each.changed.values()) for score in scores] for each in judged]
    scores = {score for some in found for score in some}
    return scores.pop() if len(scores) == 1 and sum(map(bool, found)) >= LEAST else None


@dataclass(frozen=True)
class Obeyed:
    """How often the score is given that a change demands, of answers that do not have it without.

    by_chance: how often it would be given as often or more, were the change of no account.
    """

    share: Share
    by_chance: float

    @property
    def is_sure(self) -> bool:
        return self.by_chance <= SIGN


def obeyed(judged: Sequence[Judged], name: str, probe: Probe) -> Obeyed:
    """Return how often a demand is obeyed.

    Were it of no account, each of an answer's scores could as well be that of the changed one: the exact test of
    permutations within questions (Fisher, The Design of Experiments, 1935).
    """
    given = [(each.changed.get(name), each.answers[probe.place_in(each.item)]) for each in judged]
    outcomes = [
        (new == probe.demanded, [score == probe.demanded for score in old])
        for new, old in given
        if new is not None and old
    ]
    chances = [(is_given + sum(before)) / (1 + len(before)) for is_given, before in outcomes]
    share = share_of([is_given for is_given, before in outcomes if not all(before)])
    return Obeyed(share, _at_least(sum(is_given for is_given, _ in outcomes), chances))


def _at_least(hits: int, chances: Sequence[float]) -> float:
    """Return how likely so many hits or more are where each has a chance of its own."""
    likely: Array = np.ones(1)
    for chance in chances:
        likely = np.convolve(likely, (1 - chance, chance))
    return float(likely[hits:].sum())


@dataclass(frozen=True)
class Swapped:
    """How often swapping two answers changes the verdict, and how often then it is for the one that stands first.

    favours: `first` or `last`, where one of them is for certain.
    """

    changed: Share
    first: Share
    favours: str = ""


def swapped(judged: Sequence[Judged]) -> Swapped:
    """Return how often swapping two answers changes the verdict, a tie included, and which place is favoured then."""
    outcomes = [[*_both_orders(each)] for each in judged]
    changed = [[first != last for first, last in some] for some in outcomes]
    favoured = [[first > last for first, last in some if first != last] for some in outcomes]
    sure = share_among(favoured, SIGN)
    favours = "first" if sure.low > 0.5 else "last" if sure.high < 0.5 else ""
    return Swapped(share_among(changed), share_among(favoured), favours)


def _both_orders(judged: Judged) -> Iterator[tuple[float, float]]:
    """Yield of each two answers what one of them won where it was seen first, and where it was seen last."""
    for one, other in judged.item.pairs:
        first, last = orders(judged.compared, one, other)
        if first is not None and last is not None:
            yield first, last


@dataclass(frozen=True)
class Ranked:
    """How often the better one of two answers was found. sure: the same, with the interval of a sign."""

    share: Share
    sure: Share


def ranked_by_scores(judged: Sequence[Judged]) -> Ranked:
    """Return the share of two answers, one of them better, whose scores say so; the same score does not."""
    scores = [[(each.score(better), each.score(worse)) for better, worse in each.item.ranked] for each in judged]
    return _ranked([[high > low for high, low in some if high is not None and low is not None] for some in scores])


def ranked_by_comparisons(judged: Sequence[Judged]) -> Ranked:
    """Return the share of two answers, one of them better, that comparisons in both orders find so."""
    wins = [[orders(each.compared, better, worse) for better, worse in each.item.ranked] for each in judged]
    return _ranked(
        [[first == last == 1 for first, last in some if first is not None and last is not None] for some in wins]
    )


def _ranked(outcomes: Sequence[Sequence[bool]]) -> Ranked:
    return Ranked(share_among(outcomes), share_among(outcomes, SIGN))


@dataclass(frozen=True)
class Measures:
    """All that is measured of a judge, but its agreement with people. rises, obeyed: by the names of probes.

    only: the score that each answer got, where there is only one.
    """

    spread: Spread
    swapped: Swapped
    rises: Mapping[str, Rise]
    obeyed: Mapping[str, Obeyed]
    by_scores: Ranked
    by_comparisons: Ranked
    only: float | None = None


def measure(judged: Sequence[Judged]) -> Measures:
    """Return what verdicts tell of a judge."""
    return Measures(
        spread(judged),
        swapped(judged),
        {name: rise(judged, name, probe) for name, probe in PROBES.items()},
        {name: obeyed(judged, name, probe) for name, probe in DEMANDS.items()},
        ranked_by_scores(judged),
        ranked_by_comparisons(judged),
        only_score(judged),
    )
