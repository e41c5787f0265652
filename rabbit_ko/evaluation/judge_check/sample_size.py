"""How many questions it takes to see a difference between two stages with a judge."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from statistics import NormalDist, fmean

from rabbit_ko.evaluation.intervals import LEAST, t_quantile
from rabbit_ko.evaluation.judge_check.measures import Judged, spread

ERROR, POWER = 0.05, 0.8


@dataclass(frozen=True)
class Variances:
    """What makes the difference of two stages on one question uncertain, in square points.

    between: the mean square of the true difference of two answers to a question, whichever of the stages gave which.
    within: the variance of one verdict on one answer; None where each was given one, and `between` has it in it.
    pairs: of answers that this was found with. differing: of those, whose scores are not the same.
    """

    between: float
    within: float | None
    pairs: int
    differing: int

    @property
    def are_known(self) -> bool:
        """Whether enough scores differ: answers that are alike to a judge tell nothing of two stages."""
        return self.differing >= LEAST


def variances(judged: Sequence[Judged]) -> Variances | None:
    """Return what answers that are neighbours in their items differ by; None where there are fewer than six pairs.

    What the spread of verdicts adds to the differences of mean scores is taken from their mean square.
    """
    within = spread(judged).variance
    pairs = [pair for each in judged for pair in pairwise(each.answers) if all(pair)]
    if len(pairs) < LEAST:
        return None
    differences = [fmean(one) - fmean(other) for one, other in pairs]
    squares = fmean(difference**2 for difference in differences)
    noise = (within or 0.0) * fmean(1 / len(one) + 1 / len(other) for one, other in pairs)
    return Variances(max(0.0, squares - noise), within, len(pairs), sum(map(bool, differences)))


def questions_needed(difference: float, of: Variances, verdicts: int = 1) -> int | None:
    """Return how many questions show a true difference of two stages' mean scores four times in five, at 5 %.

    None where that is not known, since hardly any scores differ.
    n = (z + z')^2 (between + 2 within / verdicts) / difference^2, with the quantiles of half the error and of the
    power: the number of pairs in Julious, Statistics in Medicine 23, 2004, pages 1921 to 1986; then as many more as
    Student's t needs, whose power is by its noncentral distribution. Both stages answer the same questions; more
    verdicts on each answer make the second part smaller, and only more questions the first.
    """
    quantiles = NormalDist().inv_cdf(1 - ERROR / 2) + NormalDist().inv_cdf(POWER)
    parts = of.between + 2 * (of.within or 0.0) / verdicts
    if not of.are_known or not parts:
        return None
    effect = difference / math.sqrt(parts)
    return next(n for n in count(max(LEAST, math.ceil((quantiles / effect) ** 2))) if _power(n, effect) >= POWER)


def _power(questions: int, effect: float) -> float:
    """Return how often a paired t test sees a difference of so many deviations."""
    from scipy.special import nctdtr

    # Where the distribution is far above its quantile, it is not computed to the last digit.
    found = 1 - float(nctdtr(questions - 1, effect * math.sqrt(questions), t_quantile(questions - 1, ERROR)))
    return 1.0 if math.isnan(found) else found
