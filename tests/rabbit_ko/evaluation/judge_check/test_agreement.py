"""How scores go with those of people: as numpy and scipy have it, with intervals that hold the truth."""

import numpy as np
import pytest
from scipy import stats

from rabbit_ko.evaluation.judge_check.agreement import Agreement, agreement
from rabbit_ko.evaluation.judge_check.measures import Judged
from tests.rabbit_ko.evaluation.judge_check.simulated import ITEMS, items_of

JUDGES = 300
LEAST = int(stats.binom.ppf(1e-4, JUDGES, 0.95))


def judged(seed: int, items: int, rho: float, rounded: bool = False) -> list[Judged]:
    """Scores of a judge and of people that go together so, of three answers an item, which have much in common."""
    rng = np.random.default_rng(seed)
    shared, own = (
        rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], (items, 1)),
        rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], (items, 3)),
    )
    both = np.clip(5.5 + shared * 0.8 + own * 0.8, 1, 10)
    both = np.round(both) if rounded else both
    people = map(tuple, both[..., 0].tolist())
    # Not sorted by what people gave, so that each score keeps its own.
    found = [item.model_copy(update={"human": human}) for item, human in zip(items_of(items), people, strict=True)]
    return [
        Judged(item, [[score] for score in row], {}, [])
        for item, row in zip(found, both[..., 1].tolist(), strict=True)
    ]


def of(found: list[Judged]) -> Agreement:
    """What it comes to."""
    result = agreement(found)
    assert result
    return result


@pytest.mark.parametrize("rounded", [False, True])
def test_the_figures_are_those_of_other_libraries(rounded: bool) -> None:
    said = judged(1, 40, 0.6, rounded)
    human, score = np.array(
        [(h, s[0]) for each in said for h, s in zip(each.item.human, each.answers, strict=True)]
    ).T
    found = of(said)
    assert found.answers == 120
    assert found.spearman.value == pytest.approx(stats.spearmanr(human, score).statistic)
    assert found.pearson.value == pytest.approx(np.corrcoef(human, score)[0, 1])
    assert found.distance.value == pytest.approx(np.abs(human - score).mean())


@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_the_intervals_hold_the_truth_though_answers_to_one_question_have_much_in_common(rho: float) -> None:
    spearman = 6 / np.pi * np.arcsin(rho / 2)
    hits = np.zeros(2)
    for seed in range(JUDGES):
        found = agreement(judged(seed, 30, rho), 300)
        assert found
        for place, (each, truth) in enumerate(((found.pearson, rho), (found.spearman, spearman))):
            low, high = each.interval or (0, 0)
            hits[place] += low <= truth <= high
    assert hits.min() >= LEAST


def test_perfect_agreement_none_and_too_few_items() -> None:
    same = [Judged(item, [[score] for score in item.human], {}, []) for item in items_of(9, [(1, 5, 9)] * 9)]
    assert of(same).spearman.value == of(same).pearson.value == 1.0
    flat = [Judged(each.item, [[5.0]] * 3, {}, []) for each in same]
    assert (of(flat).spearman.value, of(flat).spearman.interval) == (None, None)
    assert of(same[:3]).spearman.interval is None
    assert agreement([Judged(item, [[5.0]] * 3, {}, []) for item in ITEMS]) is None
    assert agreement([Judged(each.item, [[]] * 3, {}, []) for each in same]) is None
