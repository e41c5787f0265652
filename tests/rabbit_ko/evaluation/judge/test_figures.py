"""A judge that looks at order or length is told from one that does not; intervals are as wide as they should be."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from rabbit_ko.evaluation.intervals import Mean, Share, mean_of, share_of
from rabbit_ko.evaluation.judge.figures import Correlation, length_bias, order_figures, win_rate

Prompts = list[tuple[Sequence[float | None], Sequence[int]]]


def drawn(seed: int, prompts: int, weight: float) -> Prompts:
    """Scores of four answers a prompt: by how long an answer is, with a weight, by chance, and by the prompt."""
    rng = np.random.default_rng(seed)
    found: Prompts = []
    for _ in range(prompts):
        usual = rng.normal(5, 1)
        lengths = np.exp(rng.normal(usual, 0.5, 4)).astype(int) + 1
        scores = weight * np.log(1 + lengths) + rng.normal(0, 0.5, 4) + 3 * usual
        found.append((scores.tolist(), lengths.tolist()))
    return found


def test_prompts_with_long_answers_and_high_scores_are_no_bias() -> None:
    bias = length_bias(drawn(0, 400, 0.0))
    assert bias.interval
    assert bias.interval[0] < 0 < bias.interval[1]
    assert bias.all is not None
    assert bias.all > 0.7


def test_a_judge_that_likes_length_is_found() -> None:
    bias = length_bias(drawn(0, 400, 1.0))
    assert bias.interval
    assert bias.value == pytest.approx(math.sqrt(0.5), abs=0.05)
    assert 0.6 < bias.interval[0] < bias.interval[1] < 0.8


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    intervals = [length_bias(drawn(seed, 40, 0.0)).interval for seed in range(400)]
    held = sum(low < 0 < high for low, high in filter(None, intervals))
    assert 365 <= held <= 392


def test_what_has_no_score_or_no_other_beside_it_does_not_count() -> None:
    assert length_bias([([1.0, None], [5, 9]), ([None], [3]), ([], [])]) == Correlation(0)
    few = length_bias([([0.0, 1.0, None], [9, 99, 9_999])] * 3)
    assert (few.prompts, few.interval) == (3, None)
    assert few.value == pytest.approx(1.0)
    assert length_bias([([1.0, 1.0], [5, 9])] * 9).value is None
    assert length_bias([([0.0, 1.0], [9, 99])] * 9).value == pytest.approx(1.0)


def test_orders_count_verdicts_agreement_and_what_is_seen_first() -> None:
    alike = [((0, 1), 1.0), ((1, 0), 0.0)]
    first = [((0, 1), 1.0), ((1, 0), 1.0)]
    found = order_figures([alike, first, [((0, 1), None), ((1, 0), 0.5)], [((0,), 3.0)]])
    assert found
    assert (found.readable, found.unreadable, found.both) == (5, 1, 2)
    assert (found.agreed.value, found.first.of, found.first.value) == (0.5, 4, 0.75)
    assert order_figures([[((0,), 3.0)], []]) is None


def test_a_share_has_wilsons_interval() -> None:
    assert share_of([]) == Share(0)
    none, half = share_of([False] * 20), share_of([True, False] * 50)
    assert [none.low, none.high] == pytest.approx([0.0, 0.1611], abs=1e-4)
    assert [half.low, half.high] == pytest.approx([0.4038, 0.5962], abs=1e-4)


def test_a_mean_has_an_error_only_where_there_are_enough_values() -> None:
    assert mean_of([]) == Mean(0)
    assert mean_of([1.0, 2.0]) == Mean(2, 1.5)
    assert mean_of([1.0, 3.0] * 8).stderr == pytest.approx(math.sqrt(16 / 15) / 4)


def test_an_answer_wins_over_those_below_it_and_half_over_its_equals() -> None:
    assert win_rate([3.0, 1.0, None, 3.0], 0) == 0.75
    assert win_rate([3.0, 1.0, None, 3.0], 1) == 0.0
