"""Two judges of the same answers: how far their scores are apart, and whether they rank alike."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.evaluation.judge.agreement import agreement

SCORES = st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=1, max_size=30)


def named(values: list[float]) -> dict[str, float]:
    return {str(number): value for number, value in enumerate(values)}


def test_judges_that_say_the_same_agree_and_those_that_say_the_opposite_do_not() -> None:
    values = [float(number) for number in range(1, 11)]
    same, opposite = agreement(named(values), named(values)), agreement(named(values), named(values[::-1]))
    assert same
    assert opposite
    assert same.difference == 0.0
    assert same.correlation == pytest.approx(1.0)
    assert opposite.correlation == pytest.approx(-1.0)
    assert opposite.difference == 5.0


def test_the_rank_correlation_is_spearman_s_with_ties() -> None:
    found = agreement(named([1, 2, 2, 3, 5, 8]), named([2, 1, 3, 3, 4, 4]))
    assert found
    # By hand: ranks 1, 2.5, 2.5, 4, 5, 6 and 2, 1, 3.5, 3.5, 5.5, 5.5.
    assert found.correlation == pytest.approx(14.25 / (17 * 16.5) ** 0.5)


@given(SCORES)
def test_it_does_not_depend_on_who_is_named_first_or_on_the_scale(pairs: list[tuple[int, int]]) -> None:
    one, other = named([float(a) for a, _ in pairs]), named([float(b) for _, b in pairs])
    found, swapped = agreement(one, other), agreement(other, one)
    stretched = agreement({key: value * 3 + 1 for key, value in one.items()}, other)
    assert found
    assert swapped
    assert stretched
    assert found.difference == swapped.difference
    for mate in (swapped, stretched):
        assert found.correlation == (None if mate.correlation is None else pytest.approx(mate.correlation))


def test_only_questions_that_both_have_count_and_of_none_nothing_is_said() -> None:
    found = agreement({"1": 3.0, "2": 5.0}, {"2": 6.0, "3": 1.0})
    assert found
    assert str(found) == "scores differ by 1.00 on average, over 1 questions"
    assert agreement({"1": 3.0}, {"2": 3.0}) is None


def test_the_intervals_hold_what_is_true_of_judges_with_noise() -> None:
    rng = random.Random(2)
    held = 0
    for _ in range(40):
        truth = [rng.gauss(6, 2) for _ in range(60)]
        one, other = ([value + rng.gauss(0, 1) for value in truth] for _ in range(2))
        found = agreement(named(one), named(other))
        assert found
        assert found.difference_interval
        # Two noises of 1 are apart by 2 / sqrt(pi) on average.
        held += found.difference_interval[0] <= 1.128 <= found.difference_interval[1]
    assert held >= 34
