"""A judge with a known fault is found out within the intervals, and one without is not accused."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from rabbit_ko.evaluation.judge.verdicts import Verdict
from rabbit_ko.evaluation.judge_check.measures import Judged, Measures, measure, swapped
from rabbit_ko.evaluation.judge_check.readings import readings
from tests.rabbit_ko.evaluation.judge_check.simulated import ITEMS, Simulated, items_of

JUDGES = 500
LEAST, MOST = binom.ppf([1e-4, 1 - 1e-4], JUDGES, 0.95).astype(int).tolist()
FALSE_ALARMS = int(binom.ppf(1 - 1e-4, JUDGES, 0.05))

Interval = tuple[float, float] | None


def drawn(judge: Simulated, repeats: int = 3) -> list[Measures]:
    """What is measured of the same judge, again and again."""
    return [measure(judge.says(np.random.default_rng(seed), repeats=repeats)) for seed in range(JUDGES)]


def held(found: list[Measures], truth: float, interval: Callable[[Measures], Interval]) -> int:
    """How many of the intervals hold the truth."""
    return sum(low <= truth <= high for low, high in filter(None, map(interval, found)))


@pytest.fixture(scope="module")
def biased() -> list[Measures]:
    """A judge with all faults."""
    gains = {"said twice": 1.6, "filler": 0.3, "English": 0.5, "praise": 1.0, "demand": 2.5}
    return drawn(Simulated(noise=1.0, gains=gains, first=0.45))


@pytest.mark.parametrize(
    ("name", "gain"),
    [("said twice", 1.6), ("filler", 0.3), ("English", 0.5), ("mixed", -2.0), ("praise", 1.0), ("demand", 2.5)],
)
def test_what_a_judge_gives_for_a_change_is_within_the_interval_as_often_as_it_says(
    biased: list[Measures], name: str, gain: float
) -> None:
    assert LEAST <= held(biased, gain, lambda found: found.rises[name].interval()) <= MOST


def test_how_far_its_scores_move_is_within_the_interval_as_often_as_it_says(biased: list[Measures]) -> None:
    assert LEAST <= held(biased, 1.0, lambda found: found.spread.interval) <= MOST


@pytest.mark.parametrize("truth", [0.02, 0.1, 0.3, 0.7])
def test_how_often_the_order_decides_is_within_the_interval_though_questions_differ_in_it(truth: float) -> None:
    judge = Simulated(first=truth)
    found = [swapped(judge.says(np.random.default_rng(seed))).changed for seed in range(JUDGES)]
    assert sum(share.low <= truth <= share.high for share in found) >= LEAST


def test_a_judge_with_all_faults_is_found_out_by_each(biased: list[Measures]) -> None:
    warned = [{reading.group for reading in readings(found, None, 3) if reading.warns} for found in biased]
    for group in ("order", "length", "demands", "language"):
        assert sum(group in each for each in warned) > 0.9 * JUDGES, group


@pytest.mark.parametrize("noise", [0.0, 0.7, 2.0])
def test_a_judge_without_a_fault_is_accused_of_none(noise: float) -> None:
    found = drawn(Simulated(noise=noise))
    accused = sum(any(reading.warns for reading in readings(each, None, 3)) for each in found)
    assert accused <= FALSE_ALARMS
    if not noise:
        assert all(
            each.spread.deviation == pytest.approx(0, abs=1e-9) and not each.swapped.changed.value for each in found
        )


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_place_that_is_favoured_is_named_and_no_other(place: str) -> None:
    judge = Simulated(first=0.4) if place == "first" else Simulated(last=0.4)
    favours = [swapped(judge.says(np.random.default_rng(seed))).favours for seed in range(100)]
    assert favours.count(place) > 90
    assert set(favours) <= {place, ""}


def test_a_judge_that_tosses_coins_favours_no_place() -> None:
    judge = Simulated(first=0.25, last=0.25)
    favours = [swapped(judge.says(np.random.default_rng(seed))).favours for seed in range(JUDGES)]
    assert sum(map(bool, favours)) <= FALSE_ALARMS


def test_a_tie_in_one_order_is_a_change_for_the_place_that_won_in_the_other() -> None:
    item = items_of(1)[0].model_copy(update={"answers": ("가", "나")})
    said = [Verdict((0, 1), 0.5, ""), Verdict((1, 0), 1.0, "")]
    found = swapped([Judged(item, [[], []], {}, said)])
    assert (found.changed.value, found.first.value) == (1.0, 1.0)


def test_what_could_not_be_read_is_in_no_figure() -> None:
    nothing = [
        Judged(item, [[], [], []], {}, [Verdict((0, 1), None, ""), Verdict((1, 0), 1.0, "")]) for item in ITEMS
    ]
    found = measure(nothing)
    assert (found.spread.deviation, found.swapped.changed.of, found.by_scores.share.of) == (None, 0, 0)
    assert {mean.of for mean in found.rises.values()} == {0}
    assert [reading.text[:20] for reading in readings(found, None, 1)] == ["was asked once for e"]


def test_a_score_that_is_demanded_counts_where_it_was_not_there_anyway() -> None:
    said = [
        Judged(ITEMS[0], [[9.0], [5.0], [10.0]], {"demand": 10.0}, []),
        Judged(ITEMS[1], [[9.0], [5.0], [2.0]], {"demand": 10.0}, []),
        Judged(ITEMS[2], [[9.0], [5.0], [2.0]], {"demand": 2.0}, []),
        Judged(ITEMS[3], [[9.0], [5.0], []], {"demand": 10.0}, []),
    ]
    found = measure(said).obeyed["demand"].share
    assert (found.of, found.value) == (2, 0.5)


@pytest.mark.parametrize(("obeys", "named"), [(3, False), (4, True), (6, True)])
def test_a_demand_that_is_obeyed_on_few_questions_is_named(obeys: int, named: bool) -> None:
    judge, items = Simulated(), items_of(25)
    for seed in range(20):
        said = judge.says(np.random.default_rng(seed), items)
        said = [
            each._replace(changed={**each.changed, "demand": 10.0}) if place < obeys else each
            for place, each in enumerate(said)
        ]
        warned = [reading.text for reading in readings(measure(said), None, 3) if reading.warns]
        assert any("a demand to the judge" in text for text in warned) >= named
        assert measure(said).obeyed["demand"].is_sure == named


def test_a_score_that_the_answer_gets_anyway_is_no_obedience() -> None:
    said = [Judged(item, [[9.0], [5.0], [10.0, 10.0, 9.0]], {"demand": 10.0}, []) for item in ITEMS]
    assert not measure(said[:8]).obeyed["demand"].is_sure


def test_pairs_are_ranked_by_scores_and_by_comparisons_that_agree() -> None:
    wins = [Verdict((0, 1), 1.0, ""), Verdict((1, 0), 0.0, ""), Verdict((0, 2), 1.0, ""), Verdict((2, 0), 1.0, "")]
    found = measure([Judged(ITEMS[0], [[9.0], [5.0], [5.0]], {}, wins)])
    assert found.by_scores.share.of == 3
    assert found.by_scores.share.value == pytest.approx(2 / 3)
    assert (found.by_comparisons.share.of, found.by_comparisons.share.value) == (2, 0.5)
