"""A difference is marked where it is more than chance, and nowhere else."""

import random
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rabbit_ko.evaluation.records import Model, Result, Sample, Score, State
from rabbit_ko.evaluation.results.compare import Comparison, Figure, How, compare, paired_bootstrap, values_of
from tests.rabbit_ko.evaluation.results.result_folder import samples_of

Array = npt.NDArray[np.float64]


def figure(
    value: float | None,
    stderr: float | None = None,
    items: list[float] | None = None,
    count: int = 100,
    state: State = State.CURRENT,
    samples: list[Sample] | None = None,
    **settings: Any,
) -> Figure:
    """A figure, with what its items came to if that is told."""
    score = Score(task="t", metric="acc", value=value, stderr=stderr, items=len(items) if items else count)
    result = Result(
        recipe="mine",
        stage="base",
        task="t",
        model=Model(path="m", fingerprint="f", backend="hf"),
        settings={"shots": 5, "limit": None, **settings},
        scores=[score],
        versions={},
        command="",
        started="",
        seconds=0,
        state=state,
    )
    return Figure(score, result, values_of(score, samples or samples_of("t", "acc", items or [])))


def of_items(items: list[float]) -> Figure:
    """A figure that is the mean of its items."""
    return figure(fmean(items), items=items)


def other_settings(*names: str) -> Comparison:
    """What is said of figures whose settings differ."""
    return Comparison("base", How.SETTINGS, names)


def compared(before: Figure, after: Figure) -> Comparison:
    """Compare and expect that it can be done."""
    comparison = compare(before, after)
    assert comparison
    assert comparison.how in (How.BOOTSTRAP, How.ERRORS)
    return comparison


def test_the_interval_is_that_of_a_bootstrap_done_by_hand() -> None:
    draw = random.Random(1)
    before = [float(draw.random() < 0.5) for _ in range(60)]
    after = [float(draw.random() < 0.6) for _ in range(60)]
    differences = [new - old for old, new in zip(before, after, strict=True)]
    means = sorted(fmean(draw.choices(differences, k=60)) for _ in range(4_000))
    low, high = paired_bootstrap(np.array(before), np.array(after))
    assert low == pytest.approx(means[100], abs=0.021)
    assert high == pytest.approx(means[3_900], abs=0.021)


def test_of_many_different_values_the_interval_is_the_normal_one() -> None:
    before, after = np.random.default_rng(2).normal(size=(2, 900))
    differences = list(after - before)
    margin = 1.96 * stdev(differences) / 900**0.5
    low, high = paired_bootstrap(before, after)
    assert low == pytest.approx(fmean(differences) - margin, abs=margin / 10)
    assert high == pytest.approx(fmean(differences) + margin, abs=margin / 10)


def test_the_same_items_give_the_same_interval() -> None:
    before, after = np.random.default_rng(3).normal(size=(2, 50))
    assert paired_bootstrap(before, after) == paired_bootstrap(before, after)


def test_where_nothing_differs_but_by_chance_about_one_in_twenty_is_marked() -> None:
    rng = np.random.default_rng(4)
    marked = 0
    for _ in range(300):
        ability = rng.random(100)
        before, after = ((rng.random(100) < ability).astype(float) for _ in range(2))
        low, high = paired_bootstrap(before, after)
        marked += low > 0 or high < 0
    assert 3 <= marked <= 30


@pytest.mark.parametrize(("gain", "direction"), [(0.3, 1), (-0.3, -1)])
def test_a_clear_difference_is_marked(gain: float, direction: int) -> None:
    before, after = [0.5] * 20, [0.5 + gain] * 15 + [0.5] * 5
    comparison = compared(of_items(before), of_items(after))
    assert comparison.how is How.BOOTSTRAP
    assert comparison.exceeds_chance
    assert comparison.difference * direction == pytest.approx(0.225)


def test_identical_items_are_not_marked() -> None:
    items = [0.0, 1.0] * 20
    comparison = compared(of_items(items), of_items(items))
    assert (comparison.low, comparison.high) == (0, 0)
    assert not comparison.exceeds_chance


def test_changes_that_cancel_are_not_marked_for_their_rounding() -> None:
    before, after = [0.1, 0.3] * 20, [0.3, 0.1] * 20
    assert not compared(of_items(before), of_items(after)).exceeds_chance


def test_pairs_find_what_two_means_alone_do_not() -> None:
    before = [1.0] * 50 + [0.0] * 50
    after = [1.0] * 50 + [1.0] * 8 + [0.0] * 42
    error = stdev(before) / 10
    assert compared(of_items(before), of_items(after)).exceeds_chance
    alone = compared(figure(fmean(before), error), figure(fmean(after), error))
    assert alone.how is How.ERRORS
    assert not alone.exceeds_chance


@pytest.mark.parametrize(("value", "exceeds"), [(0.58, False), (0.59, True), (0.42, False), (0.41, True)])
def test_without_items_two_standard_errors_of_the_difference_decide(value: float, exceeds: bool) -> None:
    # sqrt(0.03 ** 2 + 0.03 ** 2) is 0.0424.
    assert compared(figure(0.5, 0.03), figure(value, 0.03)).exceeds_chance is exceeds


def test_only_the_items_that_both_have_are_paired() -> None:
    before = samples_of("t", "acc", [0.0] * 10)
    after = samples_of("t", "acc", [1.0] * 9 + [0.0])[1:]
    comparison = compared(figure(0.0, count=10, samples=before), figure(8 / 9, count=10, samples=after))
    assert comparison.difference == pytest.approx(8 / 9)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            figure(0.1, 0.01),
            figure(0.9, 0.01, limit=8, shots=0),
            Comparison("base", How.SETTINGS, ("shots", "limit")),
        ),
        (figure(0.1, 0.01), figure(0.9, 0.01, judge="x"), Comparison("base", How.SETTINGS, ("judge",))),
        (figure(0.1, 0.01), figure(0.9, 0.01, state=State.STALE), Comparison("base", How.STALE)),
        (figure(0.1, 0.01), figure(0.9), Comparison("base", How.NO_ERROR)),
        (of_items([0.0] * 5), of_items([1.0] * 5), Comparison("base", How.FEW)),
        (figure(0.0, 0.0, count=5), figure(1.0, 0.0, count=5), Comparison("base", How.FEW)),
        (figure(0.1, 0.01), figure(None), None),
    ],
)
def test_what_cannot_be_compared_is_not(before: Figure, after: Figure, expected: Comparison | None) -> None:
    assert compare(before, after) == expected


def test_six_items_that_all_change_are_enough() -> None:
    assert compared(of_items([0.0] * 6), of_items([1.0] * 6)).exceeds_chance
