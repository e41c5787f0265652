"""Intervals hold the truth as often as they say, also where outcomes depend on one another."""

import numpy as np
import pytest
from scipy import stats

from rabbit_ko.evaluation.intervals import Mean, Share, mean_of, share_among, share_of

DRAWS = 500
LEAST, MOST = stats.binom.ppf([1e-4, 1 - 1e-4], DRAWS, 0.95).astype(int).tolist()


def groups(seed: int, truth: float, alike: float, size: int = 4, number: int = 30) -> list[list[bool]]:
    """Outcomes of groups whose own shares differ; alike: the correlation within a group."""
    rng, strength = np.random.default_rng(seed), 1 / alike - 1
    own = rng.beta(truth * strength, (1 - truth) * strength, number)
    return [[bool(each) for each in row] for row in rng.random((number, size)) < own[:, None]]


def hits(truth: float, shares: list[Share]) -> int:
    """How many intervals hold the truth."""
    return sum(share.low <= truth <= share.high for share in shares)


@pytest.mark.parametrize("truth", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("alike", [0.01, 0.3, 0.8])
def test_a_share_among_groups_holds_the_truth_however_much_they_have_in_common(truth: float, alike: float) -> None:
    assert hits(truth, [share_among(groups(seed, truth, alike)) for seed in range(DRAWS)]) >= LEAST


def test_one_that_takes_outcomes_of_a_group_as_independent_does_not() -> None:
    flat = [share_of([one for group in groups(seed, 0.3, 0.8) for one in group]) for seed in range(DRAWS)]
    assert hits(0.3, flat) < LEAST


def test_groups_of_one_are_outcomes_by_themselves() -> None:
    outcomes = [True, False, True, True]
    assert share_among([[outcome] for outcome in outcomes]) == share_of(outcomes)
    assert share_among([]) == share_among([[]]) == share_of([]) == Share(0)


def test_outcomes_that_are_all_alike_are_worth_one_a_group() -> None:
    all_true = share_among([[True] * 4] * 10)
    assert (all_true.of, all_true.value) == (40, 1.0)
    assert all_true.high == pytest.approx(1.0)
    assert all_true.low < share_of([True] * 10).low < share_of([True] * 40).low
    assert share_among([[True, False]]).of == 2


def test_a_smaller_error_is_a_wider_interval() -> None:
    some = groups(1, 0.3, 0.3)
    wide, usual = share_among(some, 0.005), share_among(some)
    assert wide.low < usual.low < usual.high < wide.high
    mean = mean_of([1.0, 2.0, 3.0, 4.0, 5.0, 7.0])
    outer, inner = mean.interval(0.005), mean.interval()
    assert outer
    assert inner
    assert outer[0] < inner[0] < inner[1] < outer[1]


def test_the_interval_of_a_mean_is_student_s() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 7.0]
    low, high = stats.t.interval(0.95, 5, np.mean(values), stats.sem(values))
    assert mean_of(values).interval() == pytest.approx((low, high))
    assert Mean(0).interval() is None
    assert mean_of([1.0, 2.0]).interval() is None
