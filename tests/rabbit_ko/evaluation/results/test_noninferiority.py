"""The tests behind the gate keep to their errors, whatever the outcomes, and find what is there to be found."""

from math import lgamma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_1samp

from rabbit_ko.evaluation.results.noninferiority import Array, holm, interval, p_above, p_below, tango

OUTCOMES = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=200)
GRADES = st.lists(st.integers(-20, 20).map(lambda grade: grade / 20), min_size=1, max_size=60)


def largest_error(n: int, bound: float, error: float) -> float:
    """The greatest probability of a false claim, over all shares of items that may get worse."""
    worse, better = (counts.ravel() for counts in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    possible = worse + better <= n
    worse, better = worse[possible], better[possible]
    rejected = -tango(worse, better, n, bound) >= norm.isf(error)
    log = np.array([lgamma(count + 1) for count in range(n + 1)])
    ways = log[n] - log[worse] - log[better] - log[n - worse - better]
    found = 0.0
    for share in np.linspace(1e-9, (1 - abs(bound)) / 2 - 1e-9, 40):
        down, up = share + max(-bound, 0), share + max(bound, 0)
        logs = worse * np.log(down) + better * np.log(up) + (n - worse - better) * np.log(1 - down - up)
        found = max(found, float(np.exp(ways + logs)[rejected].sum()))
    return found


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 10, 20, 42, 100, 230])
@pytest.mark.parametrize(("error", "borne"), [(0.05, 0.05), (0.05 / 7, 0.05 / 7), (0.05 / 20, 0.06 / 20)])
def test_of_right_and_wrong_no_outcomes_make_more_false_claims_than_are_borne(
    n: int, error: float, borne: float
) -> None:
    for bound in (0.01, 0.02, 0.05, 0.1, 0.3):
        assert largest_error(n, bound, error) <= borne
        assert largest_error(n, -bound, error) <= borne


@given(OUTCOMES | GRADES, st.floats(-0.9, 0.9))
def test_a_claim_and_its_mirror_image_have_the_same_p_value(differences: list[float], bound: float) -> None:
    found = np.array(differences)
    assert 0 <= p_below(found, bound) <= 1
    assert p_below(found, bound) == p_above(-found, -bound)


@given(OUTCOMES | GRADES)
def test_an_interval_holds_the_mean_and_all_bounds_that_no_claim_is_made_about(differences: list[float]) -> None:
    found = np.array(differences)
    low, high = interval(found, 0.05)
    assert low <= found.mean() <= high
    assert low < high
    for bound in np.linspace(-0.99, 0.99, 23):
        assert (p_above(found, bound) <= 0.05) == (bound <= low) or abs(bound - low) < 1e-9
        assert (p_below(found, bound) <= 0.05) == (bound >= high) or abs(bound - high) < 1e-9


def test_items_that_all_stay_as_they_are_leave_room_for_some_that_would_not() -> None:
    low, high = interval(np.zeros(100), 0.05)
    # Of 100 items none of which changed, up to 3 in 100 may change: the rule of three.
    assert -0.05 < low < -0.03
    assert high == -low


def test_of_grades_it_is_the_paired_t_test() -> None:
    found = np.round(np.random.default_rng(1).normal(-0.05, 0.2, 42), 2)
    assert p_below(found, -0.01) == pytest.approx(ttest_1samp(found, -0.01, alternative="less").pvalue)
    assert p_above(found, -0.01) == pytest.approx(ttest_1samp(found, -0.01, alternative="greater").pvalue)
    expected = ttest_1samp(found, 0).confidence_interval(0.9)
    assert interval(found, 0.05) == pytest.approx((expected.low, expected.high))


def few(n: int, *changes: float) -> Array:
    """Differences of n items, of which these are not zero."""
    return np.array([*changes, *[0.0] * (n - len(changes))])


def test_grades_of_which_hardly_any_differ_count_as_if_each_had_changed_wholly() -> None:
    assert p_above(few(42, 0.1), -0.02) > 0.05
    assert p_above(few(42, 0.1), -0.05) == p_above(few(42), -0.05)
    assert p_above(few(42, -0.1), -0.05) == p_above(few(42, -1.0), -0.05)
    assert p_below(few(42, *[-0.1] * 9), -0.01) > 0.05
    assert p_below(few(42, *[-1.0] * 9), -0.01) < 0.05


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0.001, 0.999))
def test_what_is_below_an_error_after_holms_steps_is_what_his_steps_reject(
    p_values: list[float], error: float
) -> None:
    rejected, left = set[int](), sorted(range(len(p_values)), key=lambda place: p_values[place])
    while left and p_values[left[0]] * len(left) <= error:
        rejected.add(left.pop(0))
    assert {place for place, p_value in enumerate(holm(p_values)) if p_value <= error} == rejected
