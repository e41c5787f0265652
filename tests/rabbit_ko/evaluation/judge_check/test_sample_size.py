"""As many questions as are said to show a difference show it about four times in five."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from rabbit_ko.evaluation.judge_check.measures import Judged
from rabbit_ko.evaluation.judge_check.readings import of_differences
from rabbit_ko.evaluation.judge_check.sample_size import Variances, questions_needed, variances
from tests.rabbit_ko.evaluation.judge_check.simulated import ITEMS, QUALITY, Simulated, items_of

DRAWS = 4000


def known(between: float, within: float | None) -> Variances:
    """Variances that were found with enough scores that differ."""
    return Variances(between, within, 50, 50)


@pytest.mark.parametrize("verdicts", [1, 3])
@pytest.mark.parametrize("of", [known(2.0, 1.0), known(0.3, 4.0), known(6.0, None)])
def test_the_power_is_what_it_says(of: Variances, verdicts: int) -> None:
    difference = 0.4
    n = questions_needed(difference, of, verdicts) or 0
    rng = np.random.default_rng(0)
    true = rng.normal(difference, of.between**0.5, (DRAWS, n))
    noise = rng.normal(0, ((of.within or 0.0) / verdicts) ** 0.5, (2, DRAWS, n))
    seen = stats.ttest_1samp(true + noise[0] - noise[1], 0, axis=1).pvalue < 0.05
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], DRAWS, 0.8)
    assert low <= seen.sum() <= high


@pytest.mark.parametrize("between", [0.7, 1.0, 2.0])
def test_the_power_is_what_it_says_with_few_questions(between: float) -> None:
    n = questions_needed(1.0, known(between, None)) or 0
    rng = np.random.default_rng(0)
    seen = stats.ttest_1samp(rng.normal(1.0, between**0.5, (DRAWS, n)), 0, axis=1).pvalue < 0.05
    assert n < 20
    assert seen.mean() >= 0.8 - 3 * (0.16 / DRAWS) ** 0.5


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("others", [0, 2, 3])
def test_a_judge_whose_scores_hardly_differ_is_said_to_show_nothing(repeats: int, others: int) -> None:
    scores = [[[9.0 if number < others else 10.0] * repeats, [10.0] * repeats] for number in range(len(ITEMS))]
    judged = [Judged(item, given, {}, []) for item, given in zip(ITEMS, scores, strict=True)]
    found = variances(judged)
    assert found
    assert (found.pairs, found.differing) == (len(ITEMS), others)
    assert [questions_needed(difference, found) for difference in (0.1, 1.0)] == [None, None]
    [reading] = of_differences(found)
    assert reading.warns == (not others)
    assert ("no number of questions" if not others else f"in {others} of 24 pairs, too few") in reading.text


def test_as_many_differences_as_have_an_interval_are_enough() -> None:
    assert questions_needed(0.5, Variances(2.0, None, 24, 6))
    assert not [*of_differences(Variances(2.0, None, 24, 6)), *of_differences(None)]


def test_more_verdicts_make_only_their_own_part_smaller() -> None:
    assert questions_needed(0.5, known(2.0, 1.0), 1) == pytest.approx(7.849 * 4 / 0.25 + 2, abs=1)
    assert questions_needed(0.5, known(2.0, 1.0), 10_000) == pytest.approx(7.849 * 2 / 0.25 + 2, abs=1)
    assert questions_needed(0.5, known(2.0, None), 10) == questions_needed(0.5, known(2.0, None), 1)


def test_the_parts_are_found_again() -> None:
    steps = [(one - other) ** 2 for one, other in pairwise(QUALITY)]
    found = [variances(Simulated(noise=1.5).says(np.random.default_rng(seed))) for seed in range(200)]
    assert np.mean([each.between for each in found if each]) == pytest.approx(np.mean(steps), rel=0.03)
    assert np.mean([each.within or 0.0 for each in found if each]) == pytest.approx(1.5**2, rel=0.03)


def test_with_one_verdict_an_answer_the_parts_are_not_told_apart() -> None:
    found = variances(Simulated(noise=1.5).says(np.random.default_rng(0), repeats=1))
    assert found
    assert found.within is None


def test_few_questions_tell_nothing() -> None:
    assert variances(Simulated().says(np.random.default_rng(0), ITEMS[:2])) is None
    alone = [item.model_copy(update={"answers": ("가",)}) for item in items_of(9)]
    assert variances(Simulated().says(np.random.default_rng(0), alone)) is None
