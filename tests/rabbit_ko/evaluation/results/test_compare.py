"""A difference is marked where it is more than chance, and nowhere else."""

import random
from statistics import fmean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from rabbit_ko.evaluation.judge.scores import Row, samples, scores, turn_names
from rabbit_ko.evaluation.records import Model, Result, Sample, Score, State
from rabbit_ko.evaluation.results.compare import Comparison, Figure, How, compare, figure_of, paired
from tests.rabbit_ko.evaluation.results.result_folder import samples_of

Array = npt.NDArray[np.float64]
DRAWS = 600
STAGES = (("base", 4.0), ("sft", 4.5))


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
    return figure_of(score, result, samples or samples_of("t", "acc", items or []))


def interval(before: Any, after: Any) -> tuple[float, float]:
    """The interval of the mean difference of items that weigh the same."""
    found = paired(np.array(before), np.array(after), np.ones(len(before)))[1]
    assert found
    return found


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
    low, high = interval(before, after)
    assert low == pytest.approx(means[100], abs=0.021)
    assert high == pytest.approx(means[3_900], abs=0.021)


def test_of_many_different_values_the_interval_is_the_normal_one() -> None:
    before, after = np.random.default_rng(2).normal(size=(2, 900))
    differences = list(after - before)
    margin = 1.96 * stdev(differences) / 900**0.5
    low, high = interval(before, after)
    assert low == pytest.approx(fmean(differences) - margin, abs=margin / 10)
    assert high == pytest.approx(fmean(differences) + margin, abs=margin / 10)


def test_the_same_items_give_the_same_interval() -> None:
    before, after = np.random.default_rng(3).normal(size=(2, 50))
    assert interval(before, after) == interval(before, after)


def test_where_nothing_differs_but_by_chance_about_one_in_twenty_is_marked() -> None:
    rng = np.random.default_rng(4)
    marked = 0
    for _ in range(300):
        ability = rng.random(100)
        before, after = ((rng.random(100) < ability).astype(float) for _ in range(2))
        low, high = interval(before, after)
        marked += low > 0 or high < 0
    assert 3 <= marked <= 30


@pytest.mark.parametrize("n", [6, 10, 20])
@pytest.mark.parametrize("graded", [False, True])
def test_of_few_items_that_differ_but_by_chance_no_more_are_marked(n: int, graded: bool) -> None:
    rng, marked = np.random.default_rng(5), 0
    for _ in range(DRAWS):
        both = rng.integers(0, 21, (2, n)) / 2 if graded else rng.integers(0, 2, (2, n))
        low, high = interval(*both.astype(float))
        marked += low > 1e-12 or high < -1e-12
    assert marked <= binom.isf(0.001, DRAWS, 0.05)


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


def judged(stage: str, rows: list[Row], task: str) -> Figure:
    """The overall figure of a judged bench, with what is kept of its questions."""
    turns = turn_names(rows)
    score = next(each for each in scores(rows, turns) if (each.task, each.metric) == (task, "overall"))
    found = figure(0.0, judge="judge").result.model_copy(update={"stage": stage})
    return figure_of(score, found, samples(rows, turns))


def questions(level: float, category: str = "", turns: int = 2) -> list[Row]:
    """Questions of which only the first has the category, and every third has one turn."""
    lengths = [1 if turns > 1 and at % 3 == 0 else turns for at in range(42)]
    return [
        Row(str(at), category if at else "", tuple(level + (at + turn) % 3 for turn in range(length)))
        for at, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("category", ["", "글쓰기"])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_judged_questions_are_paired_whatever_turns_and_categories_they_have(category: str, turns: int) -> None:
    before, after = (judged(stage, questions(level, category, turns), "total") for stage, level in STAGES)
    found = compared(before, after)
    assert (found.how, len(before.items)) == (How.BOOTSTRAP, 42)
    assert found.difference == pytest.approx((after.score.value or 0) - (before.score.value or 0)) == 0.5


def test_a_question_of_more_turns_weighs_more_as_in_the_figure() -> None:
    rows = questions(4.0, turns=3)
    better = [Row(row.id, "", tuple((score or 0) + len(row.scores) for score in row.scores)) for row in rows]
    before, after = (judged(stage, each, "total") for stage, each in (("base", rows), ("sft", better)))
    found = compared(before, after)
    assert found.difference == pytest.approx((after.score.value or 0) - (before.score.value or 0))
    assert found.difference == pytest.approx((14 * 1 + 28 * 9) / (14 + 28 * 3))


@pytest.mark.parametrize("task", ["total", "글쓰기"])
def test_a_missing_verdict_takes_its_question_from_the_pairs_and_no_other(task: str) -> None:
    rows = [Row(str(at), "글쓰기", (5.0 + at % 3, 6.0)) for at in range(42)]
    with_gap = [Row("0", "글쓰기", (7.0, None)), *(Row(row.id, row.category, (8.0, 6.5)) for row in rows[1:])]
    before, after = judged("base", rows, task), judged("sft", with_gap, task)
    assert (len(before.items), len(after.items), after.score.missing) == (42, 41, 1)
    found = compared(before, after)
    assert (found.how, found.exceeds_chance) == (How.BOOTSTRAP, True)


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
