"""The tests behind the gate keep to their errors, whatever the outcomes, and find what is there to be found."""

from math import lgamma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, multinomial, norm, ttest_1samp

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


def false_claims(n: int, usual: float, rare: float, bound: float, error: float) -> float:
    """The probability of the claim that the mean is below a bound that it is at, where grades have two values."""
    share = (bound - usual) / (rare - usual)
    counts = np.arange(n + 1)[(chances := binom.pmf(np.arange(n + 1), n, share)) > 1e-7]
    drawn = ([usual] * (n - count) + [rare] * count for count in counts)
    return float(sum(chances[k] for k, found in zip(counts, drawn, strict=True) if said(found, bound) <= error))


def said(found: list[float], bound: float) -> float:
    """The p-value of a claim and of its mirror image, which are the same."""
    values = np.array(found)
    below = p_below(values, bound)
    assert below == p_above(-values, -bound)
    return below


@pytest.mark.parametrize("n", [6, 10, 20, 42, 84, 200, 1000])
@pytest.mark.parametrize("error", [0.05, 0.05 / 7])
@pytest.mark.parametrize("loss", [0.005, 0.05, 0.4])
def test_of_skewed_grades_no_more_claims_are_false_than_are_borne(n: int, error: float, loss: float) -> None:
    for bound in (-0.01, 0.05):
        assert false_claims(n, bound - loss, 0.99, bound, error) <= error
        assert false_claims(n, bound - loss, bound + 0.8, bound, error) <= error
        assert false_claims(n, bound + loss, -0.99, bound, error) <= error


def test_of_grades_with_three_values_neither() -> None:
    rng, n, bound = np.random.default_rng(1), 20, -0.02
    worse, better = (counts.ravel() for counts in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    counts = np.stack([worse, better, n - worse - better], 1)[worse + better <= n]
    for _ in range(12):
        low, high, other = -rng.uniform(0.03, 0.9), rng.choice([1.0, rng.uniform(0.1, 1)]), rng.uniform(-0.3, 0.3)
        rest = rng.uniform(0, 0.5)
        up = ((bound - rest * other) - (1 - rest) * low) / (high - low)
        shares = [1 - rest - up, up, rest]
        assert 0 < up < 1 - rest
        wrong = [said([low] * k + [high] * m + [other] * z, bound) <= 0.05 for k, m, z in counts]
        assert multinomial.pmf(counts, n, shares)[wrong].sum() <= 0.05


@pytest.mark.parametrize("n", [1, 6, 42, 1000])
def test_of_grades_with_two_values_it_is_the_exact_test_of_a_share(n: int) -> None:
    for rare in {0, n // 2, n - 1}:
        for share in (0.03, 0.5, 0.9):
            found = np.array([1.0] * rare + [-0.5] * (n - rare))
            expected = beta.sf(share, rare + 1, n - rare)
            assert p_below(found, 1.5 * share - 0.5) == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_grades_that_all_lost_the_same_are_no_certainty() -> None:
    found = np.full(10, -0.9)
    # Where other items gain all, and the mean is at the bound, ten items are so like one another that often.
    assert p_below(found, -0.01) == pytest.approx((1.01 / 1.9) ** 10)
    low, high = interval(found, 0.05)
    assert low < -0.9 < high
    assert high > -0.5


def test_of_many_grades_it_is_nearly_the_paired_t_test() -> None:
    found = np.round(np.random.default_rng(1).normal(-0.05, 0.2, 1000), 2)
    expected = ttest_1samp(found, 0).confidence_interval(0.9)
    assert interval(found, 0.05) == pytest.approx((expected.low, expected.high), abs=0.002)


def few(n: int, *changes: float) -> Array:
    """Differences of n items, of which these are not zero."""
    return np.array([*changes, *[0.0] * (n - len(changes))])


def test_grades_of_which_hardly_any_differ_leave_room_for_some_that_would() -> None:
    assert p_above(few(42, 0.1), -0.02) > 0.05
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
