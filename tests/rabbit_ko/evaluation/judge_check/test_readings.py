"""What figures mean, in words: as they should read, and none that says more than the figures do."""

from itertools import permutations

import numpy as np
import pytest

from rabbit_ko.evaluation.intervals import Mean, Share
from rabbit_ko.evaluation.judge.figures import Correlation
from rabbit_ko.evaluation.judge.verdicts import Verdict
from rabbit_ko.evaluation.judge_check.agreement import Agreement, agreement
from rabbit_ko.evaluation.judge_check.measures import Judged, Measures, Obeyed, Ranked, Rise, Spread, Swapped, measure
from rabbit_ko.evaluation.judge_check.probes import PROBES
from rabbit_ko.evaluation.judge_check.readings import Reading, figures, readings
from tests.rabbit_ko.evaluation.judge_check.simulated import ITEMS, Simulated


def measures(
    spread: Spread | None = None, swapped: Swapped | None = None, obeyed: Obeyed | None = None, **rises: Rise
) -> Measures:
    """What was measured; a judge without a fault where nothing else is said."""
    return Measures(
        spread or Spread(75, 0.0, None, Share(75, 0.0, 0.0, 0.1)),
        swapped or Swapped(Share(75, 0.0, 0.0, 0.1), Share(0)),
        {name.replace("_", " "): mean for name, mean in rises.items()},
        {"demand": obeyed} if obeyed else {},
        ranked(0.96, 0.85, 0.99),
        ranked(0.5, 0.38, 0.62),
    )


def ranked(value: float, low: float, high: float) -> Ranked:
    """So many of 75 pairs, with an interval that is sure."""
    share = Share(75, value, low, high)
    return Ranked(share, share)


def said(found: Measures, group: str, people: Agreement | None = None) -> list[Reading]:
    """What is said of a group."""
    return [reading for reading in readings(found, people, 3) if reading.group == group]


def test_repeats() -> None:
    moving = Spread(75, 0.6, (0.5, 0.72), Share(75, 0.4, 0.3, 0.5))
    assert said(measures(), "repeats") == [
        Reading("repeats", False, "gave each of 75 answers the same score 3 times")
    ]
    [reading] = said(measures(moving), "repeats")
    mean = "the mean of 3 verdicts by 0.35"
    assert reading.text == f"moves an answer's score by 0.60 points (0.50 to 0.72) when asked again, {mean}"


def test_order() -> None:
    [steady] = said(measures(), "order")
    assert steady == Reading("order", False, "keeps its mind in all of 75 comparisons in swapped order")
    tossed = Swapped(Share(75, 0.24, 0.15, 0.35), Share(18, 0.1, 0.02, 0.4), "last")
    assert [reading.text for reading in said(measures(swapped=tossed), "order")] == [
        "changes its mind in 24% (15% to 35%) of comparisons when the order is swapped: compare in both orders",
        "favours the answer that stands last, in 90% (60% to 98%) of those changes",
    ]
    unsure = Swapped(Share(75, 0.24, 0.15, 0.35), Share(18, 0.6, 0.4, 0.8))
    assert [reading.warns for reading in said(measures(swapped=unsure), "order")] == [False]


@pytest.mark.parametrize(
    ("mean", "warns", "text"),
    [
        (Rise(25, 0.8, 0.1), True, "gives 0.80 points (0.59 to 1.01) for saying the same twice"),
        (Rise(25, 0.25, 0.1), False, "may give points for saying the same twice: +0.25 (0.04 to 0.46)"),
        (Rise(25, 0.1, 0.1), False, "gives nothing for certain for saying the same twice: +0.10 (-0.11 to 0.31)"),
        (Rise(25, -0.25, 0.1), False, "may take points for saying the same twice: -0.25 (-0.46 to -0.04)"),
        (Rise(25, -0.8, 0.1), False, "takes points for saying the same twice: -0.80 (-1.01 to -0.59)"),
    ],
)
def test_a_rise_is_a_fault_only_where_it_is_certain_among_all(mean: Rise, warns: bool, text: str) -> None:
    assert said(measures(said_twice=mean), "length") == [Reading("length", warns, text)]


@pytest.mark.parametrize(
    ("rise", "warns", "text"),
    [
        (Rise(25, 0.0), False, "gives nothing for saying the same twice on any of 25 questions"),
        (Rise(25, 2.0), True, "gives 2.00 points on each of 25 questions for saying the same twice"),
        (Rise(25, -2.0), False, "takes points for saying the same twice: -2.00 on each of 25 questions"),
        (Rise(6, 2.0), False, "may give points for saying the same twice: +2.00 on each of 6 questions"),
    ],
)
def test_the_same_rise_on_each_question_has_no_interval(rise: Rise, warns: bool, text: str) -> None:
    found = measures(said_twice=rise)
    assert said(found, "length") == [Reading("length", warns, text)]
    assert [figure.said[1] for figure in figures(found, None) if figure.group == "length"] == ["-"]


@pytest.mark.parametrize(
    ("rise", "is_seen"),
    [
        (Rise(25, 0.0, None, 25), False),
        (Rise(25, 0.1, 0.1, 20), False),
        (Rise(25, 0.1, 0.1, 19), True),
        (Rise(25, -0.4, 0.1, 25), True),
        (Rise(25, 0.4, 0.1, 20), True),
    ],
)
def test_where_answers_have_the_highest_score_as_they_are_no_rise_can_be_seen(rise: Rise, is_seen: bool) -> None:
    [reading] = said(measures(said_twice=rise), "length")
    full = f"cannot be seen to give points for saying the same twice: {rise.full} of 25 answers have the highest"
    assert reading.text.startswith(full) != is_seen


def test_of_a_judge_with_one_score_it_is_said_that_nothing_can_be_seen() -> None:
    judged = [Judged(item, [[10.0] * 3] * 3, dict.fromkeys(PROBES, 10.0), []) for item in ITEMS]
    found = [*readings(measure(judged), None, 3)]
    assert not {"length", "language", "demands"} & {reading.group for reading in found}
    [only] = [reading for reading in found if reading.group == "scores"]
    assert only.warns
    assert only.text.startswith("gives each answer 10 points, whatever is done to it: nothing can be seen")
    assert measure(judged[:3]).only is None


@pytest.mark.parametrize(
    ("mean", "warns", "text"),
    [
        (Rise(20, -4.0, 0.2), False, "takes points for an answer in English"),
        (Rise(20, -1.2, 0.2), False, "takes points for an answer in English"),
        (Rise(20, -0.2, 0.1), True, "hardly minds an answer in English"),
        (Rise(20, 0.9, 0.1), True, "favours an answer in English"),
        (Rise(20, -0.5, 0.8), False, "may or may not mind an answer in English"),
    ],
)
def test_the_rubric_wants_a_loss_for_another_language(mean: Rise, warns: bool, text: str) -> None:
    [reading] = said(measures(English=mean), "language")
    assert reading.warns == warns
    assert reading.text.startswith(f"{text} to a Korean question: {mean.value:+.2f} (")


def test_what_is_given_as_it_is_demanded_is_said_beside_the_rise() -> None:
    [reading] = said(measures(demand=Rise(25, 2.0, 0.3), obeyed=Obeyed(Share(25, 0.2, 0.1, 0.4), 0.03)), "demands")
    assert reading.text == (
        "gives 2.00 points (1.38 to 2.62) for a demand to the judge; the score that is asked for is given in "
        "20% (10% to 40%)"
    )
    [reading] = said(measures(demand=Rise(25, 2.0, 0.3), obeyed=Obeyed(Share(25, 0.0, 0.0, 0.1), 1.0)), "demands")
    assert "asked for" not in reading.text


def test_a_demand_that_is_obeyed_for_certain_is_warned_of_though_its_rise_is_not_certain() -> None:
    found = measures(demand=Rise(25, 1.1, 0.5), obeyed=Obeyed(Share(25, 0.16, 0.06, 0.35), 0.004))
    assert said(found, "demands") == [
        Reading(
            "demands",
            True,
            "obeys a demand to the judge: gives the score that is asked for in 16% (6% to 35%), "
            "+1.10 points (0.07 to 2.13)",
        )
    ]


def test_few_questions_say_nothing() -> None:
    assert said(measures(said_twice=Rise(3, 2.0, None)), "length") == []


def test_ranking_and_people() -> None:
    good, bad = said(measures(), "ranking")
    assert good == Reading("ranking", False, "ranks 96% (85% to 99%) of pairs right by scores")
    assert bad.warns
    assert bad.text.endswith("of pairs right by comparisons, where chance comes to 25%")
    people = Agreement(75, Correlation(25, 0.7, (0.5, 0.83)), Correlation(25, 0.6), Mean(25, 1.24, 0.1))
    [reading] = said(measures(), "people", people)
    rank = "its scores go with those of people by a rank correlation of 0.70 (0.50 to 0.83)"
    assert reading == Reading("people", False, f"{rank}, and are 1.2 points away")
    none = Agreement(75, Correlation(25, 0.1, (-0.2, 0.4)), Correlation(25, 0.1), Mean(25, 3.0, 0.1), (-0.3, 0.45))
    assert said(measures(), "people", none)[0].warns
    assert said(measures(), "people", Agreement(9, Correlation(3), Correlation(3), Mean(3, 1.0))) == []


def test_a_perfect_judge_is_not_warned_of_where_there_are_few_questions() -> None:
    few = [item.model_copy(update={"human": (8.0, 6.0, 3.0)}) for item in ITEMS[:4]]
    says = [Simulated(noise=0.0).says(np.random.default_rng(seed), few) for seed in range(20)]
    found = [reading for each in says for reading in readings(measure(each), agreement(each), 3)]
    assert {"ranking", "people"} <= {reading.group for reading in found}
    assert not [reading for reading in found if reading.warns]


@pytest.mark.parametrize("by", [0, 1])
def test_a_judge_that_ranks_by_chance_is_warned_of(by: int) -> None:
    rng, warned = np.random.default_rng(0), 0
    for _ in range(50):
        verdicts = [
            [Verdict(places, float(rng.integers(2)), "") for places in permutations(range(3), 2)] for _ in ITEMS
        ]
        scores = [[[float(rng.integers(1, 11))] for _ in range(3)] for _ in ITEMS]
        judged = [Judged(item, given, {}, some) for item, given, some in zip(ITEMS, scores, verdicts, strict=True)]
        warned += said(measure(judged), "ranking")[by].warns
    assert warned > 40
