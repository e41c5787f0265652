"""The gate says what is so, no more often wrong than it promises, and in one line why it can say nothing."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rabbit_ko.evaluation.harness.suites import CARDS
from rabbit_ko.evaluation.records import Sample, Score
from rabbit_ko.evaluation.results.gate import (
    Compared,
    Outcome,
    Pairs,
    Verdict,
    as_table,
    compare_all,
    p_values,
    verdict_of,
)
from rabbit_ko.evaluation.results.noninferiority import Array, items_needed
from rabbit_ko.terminal import fitted
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit
from tests.rabbit_ko.evaluation.results.measure_gate import Truth, least_items, power
from tests.rabbit_ko.evaluation.results.result_folder import put_result, retrain, samples_of

DRAWS = 1_000
MARGIN = 0.02
# Of 1,000 draws of which 5 % may be wrong, more than this are so in one test of 1,000 at most.
BORNE = 72
Draw = Callable[[np.random.Generator, float], Array]


def answers(n: int, changed: float) -> Draw:
    """Outcomes that are right or wrong, so many of which change either way beside those that are lost."""

    def draw(rng: np.random.Generator, difference: float) -> Array:
        loss, gain = max(-difference, 0), max(difference, 0)
        return rng.choice([-1.0, 0.0, 1.0], n, p=[changed + loss, 1 - 2 * changed - loss - gain, changed + gain])

    return draw


def grades(n: int) -> Draw:
    """A judge's points of ten for two stages, of which a part is the question's."""

    def draw(rng: np.random.Generator, difference: float) -> Array:
        question = rng.normal(6, 1.5, n)
        was, now = (question + rng.normal(0, 1.5, n) for _ in range(2))
        return np.asarray((now - was) / 10 + difference)

    return draw


def skewed(n: int, rare: float) -> Draw:
    """A judge's points where nearly all questions lose a little, and a few change by so much."""

    def draw(rng: np.random.Generator, difference: float) -> Array:
        return np.where(rng.random(n) < 0.05, difference + rare, difference - rare * 0.05 / 0.95)

    return draw


SUITES = (answers(1_300, 0.1), answers(500, 0.0), answers(200, 0.3), grades(42), answers(3_000, 0.02))


def verdicts(rng: np.random.Generator, truths: list[float]) -> list[Verdict]:
    """Draw suites with true differences, and judge them."""
    drawn = [draw(rng, truth) for draw, truth in zip(SUITES, truths, strict=True)]
    return [verdict_of(*found) for found in p_values(drawn, MARGIN)]


@pytest.mark.parametrize("truth", [-MARGIN, -MARGIN / 2, 0.0])
def test_of_stages_that_are_not_worse_by_more_than_the_margin_few_gates_fail(truth: float) -> None:
    rng = np.random.default_rng(20)
    failed = sum(Verdict.WORSE in verdicts(rng, [truth] * len(SUITES)) for _ in range(DRAWS))
    assert failed <= BORNE


@pytest.mark.parametrize("place", range(len(SUITES)))
def test_where_one_suite_is_worse_by_the_margin_few_gates_pass_however_good_the_others_are(place: int) -> None:
    rng, truths = np.random.default_rng(21), [0.1] * len(SUITES)
    truths[place] = -MARGIN
    passed = sum(set(verdicts(rng, truths)) == {Verdict.NOT_WORSE} for _ in range(DRAWS))
    assert passed <= BORNE


def test_where_all_suites_are_worse_by_the_margin_few_gates_say_of_any_that_it_is_not() -> None:
    rng = np.random.default_rng(22)
    said = sum(Verdict.NOT_WORSE in verdicts(rng, [-MARGIN] * len(SUITES)) for _ in range(DRAWS))
    assert said <= BORNE


@pytest.mark.parametrize(("rare", "false"), [(0.9, Verdict.WORSE), (-0.9, Verdict.NOT_WORSE)])
def test_of_stages_at_the_margin_few_gates_say_anything_though_grades_are_skewed(rare: float, false: Verdict) -> None:
    rng, suites = np.random.default_rng(27), [skewed(n, rare) for n in (10, 42, 84)]
    drawn = ([draw(rng, -MARGIN) for draw in suites] for _ in range(DRAWS))
    said = sum(any(verdict_of(*found) is false for found in p_values(each, MARGIN)) for each in drawn)
    assert said <= BORNE


@pytest.mark.parametrize(("truths", "expected"), [([-0.3] + [0.0] * 4, Outcome.FAIL), ([0.2] * 5, Outcome.PASS)])
def test_a_clear_difference_is_found(truths: list[float], expected: Outcome) -> None:
    rng = np.random.default_rng(23)
    found = [verdicts(rng, truths) for _ in range(100)]
    wanted = {
        Outcome.FAIL: lambda said: Verdict.WORSE in said,
        Outcome.PASS: lambda said: {*said} == {Verdict.NOT_WORSE},
    }
    assert sum(map(wanted[expected], found)) >= 95


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("error", [0.05, 0.01])
def test_so_many_items_as_are_said_to_tell_do_tell_four_times_in_five(correlation: float, error: float) -> None:
    truth = Truth(0.0, correlation)
    rng = np.random.default_rng(24)
    differences = rng.choice([-1.0, 1.0, 0.0], 20_000, p=truth.shares)
    n = items_needed(differences, 0.05, error)
    assert power(truth, n, 0.05, error) == pytest.approx(0.8, abs=0.05)
    assert n == pytest.approx(least_items(truth, 0.05, error), rel=0.12)


def test_of_grades_so_many_questions_as_are_said_to_tell_do_tell_four_times_in_five() -> None:
    rng = np.random.default_rng(25)
    n = items_needed(grades(5_000)(rng, 0.0), 0.05, 0.05)
    told = sum(verdict_of(*p_values([grades(n)(rng, 0.0)], 0.05)[0]) is Verdict.NOT_WORSE for _ in range(DRAWS))
    assert told / DRAWS == pytest.approx(0.8, abs=0.05)


def put(stage: str, task: str, values: list[float], metric: str = "acc", **settings: Any) -> None:
    """Write a result of outcomes, whose main metric is the first."""
    scores = [
        Score(task=task, metric=name, value=sum(values) / len(values), items=len(values)) for name in (metric, "f1")
    ]
    put_result(stage, task, scores, samples_of(task, metric, values) + samples_of(task, "f1", [0.0] * 9), **settings)


def gate(*arguments: str) -> Ran:
    """Run the command."""
    return rabbit("gate", "--recipe", "mine", "--candidate", "dpo", "--baseline", "sft", *arguments)


GOOD, LIKE, BAD = [1.0] * 300, [1.0] * 299 + [0.0], [1.0] * 200 + [0.0] * 100


@pytest.mark.parametrize(
    ("candidate", "code", "said"),
    [
        (LIKE, 0, "pass: dpo is not worse than sft by more than 0.05 in any suite"),
        (BAD, 1, "fail: dpo is worse than sft by more than 0.05 in kobest"),
        (
            [1.0] * 280 + [0.0] * 20,
            0,
            "not enough items to tell whether dpo is worse than sft by more than 0.05 in\nkobest",
        ),
    ],
)
def test_the_command_ends_with_what_the_gate_says(recipe: Path, candidate: list[float], code: int, said: str) -> None:
    for stage, values in {"sft": GOOD, "dpo": candidate}.items():
        put(stage, "kobest", values)
        put(stage, "haerae", GOOD)
    ran = gate("--margin", "0.05")
    assert (ran.exit_code, ran.stderr) == (code, "")
    assert ran.stdout.endswith(f"\n\n{said}\n")
    assert max(map(len, ran.stdout.splitlines())) <= 80
    found = json.loads(gate("--margin", "0.05", "--json").stdout)
    assert found["verdict"] == said.partition(":")[0].partition(" whether")[0]
    assert [suite["suite"] for suite in found["suites"]] == ["kobest", "haerae"]
    assert gate("--margin", "0.05", "--json").exit_code == code


def test_a_suite_counts_by_its_first_metric_over_the_items_that_both_kept() -> None:
    [found] = compare_all([Pairs("kobest", "acc", 1.0, GOOD, BAD)], 0.01)
    assert (found.items, found.baseline) == (300, 1.0)
    assert found.candidate == pytest.approx(2 / 3)
    assert found.low < found.difference < found.high < -0.2
    assert found.verdict is Verdict.WORSE
    assert found.needed is None


def put_judged(stage: str, points: list[float | None], counted: int = 0) -> None:
    """Write a judged result in which None is a missing verdict. counted: with so many questions that no one has."""
    known = {str(at): value for at, value in enumerate(points) if value is not None}
    items = len(points) + counted
    score = Score(task="total", metric="overall", value=5.0, items=items, missing=items - len(known))
    kept = [Sample(task="total", item=item, metric="overall", value=value) for item, value in known.items()]
    put_result(stage, "logickor@judge", [score], kept, judge="judge", scale=10)


@pytest.mark.parametrize(
    ("was", "now", "counted", "missing"),
    [
        ([5.0, 7.0] * 200, [5.0, 7.0] * 100 + [None] * 200, 0, (0, 200)),
        ([5.0, 7.0] * 100 + [None] * 200, [5.0, 7.0] * 200, 0, (200, 0)),
        ([5.0, 7.0] * 100, [5.0, 7.0] * 100, 200, (200, 200)),
    ],
    ids=["the candidate", "the baseline", "both"],
)
def test_a_suite_half_of_whose_verdicts_are_missing_does_not_pass_and_says_so(
    recipe: Path, was: list[float | None], now: list[float | None], counted: int, missing: tuple[int, int]
) -> None:
    put_judged("sft", was, counted)
    put_judged("dpo", now, counted)
    ran = gate("--margin", "0.1")
    assert ran.exit_code == 0
    assert f"missing in logickor@judge: 200 of 400 items (sft: {missing[0]}, dpo: {missing[1]})\n" in ran.stdout
    assert "\n\nnot enough items to tell whether dpo is worse" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
    found = json.loads(gate("--margin", "0.1", "--json").stdout)
    [suite] = found["suites"]
    assert (found["verdict"], suite["items"], suite["missing"]) == ("not enough items to tell", 200, 200)
    assert (suite["missing_baseline"], suite["missing_candidate"]) == missing
    assert suite["needed"] is None


def test_a_suite_with_a_missing_verdict_passes_where_the_worst_of_it_is_borne(recipe: Path) -> None:
    put_judged("sft", [5.0, 7.0] * 200)
    put_judged("dpo", [None, 7.0] + [5.0, 7.0] * 199)
    ran = gate("--margin", "0.05")
    assert "missing in logickor@judge: 1 of 400 items (sft: 0, dpo: 1)\n" in ran.stdout
    assert ran.stdout.endswith("\npass: dpo is not worse than sft by more than 0.05 in any suite\n")


def test_missing_verdicts_hide_no_loss_in_those_that_are_there(recipe: Path) -> None:
    put_judged("sft", [7.0] * 400)
    put_judged("dpo", [3.0] * 200 + [None] * 200)
    ran = gate("--margin", "0.05")
    assert (ran.exit_code, "missing in logickor@judge: 200 of 400" in ran.stdout) == (1, True)


@pytest.mark.parametrize("graded", [False, True])
def test_where_just_the_lost_items_are_missing_few_gates_pass(graded: bool) -> None:
    rng, passed = np.random.default_rng(28), 0
    for _ in range(DRAWS):
        was = rng.integers(4, 11, 300) / 10 if graded else (rng.random(300) < 0.7).astype(float)
        is_lost = rng.random(300) < 0.06 / was.mean()
        kept, lost = was[~is_lost].tolist(), was[is_lost].tolist()
        pairs = Pairs("a", "acc", 1.0, kept, kept, only_baseline=lost)
        [found] = p_values([pairs.differences], 0.06, [pairs.worst])
        passed += verdict_of(*found) is Verdict.NOT_WORSE
    assert passed <= BORNE


def test_a_judges_points_count_as_shares_of_its_scale_and_overall(recipe: Path) -> None:
    rng, task = np.random.default_rng(26), "logickor@judge/1".replace("/", "-")
    was = list(rng.integers(3, 9, 60).astype(float))
    for stage, values in {"sft": was, "dpo": [value - 2 for value in was[:30]] + was[30:]}.items():
        scores = [Score(task="total", metric=metric, value=5.0, items=60) for metric in ("single", "overall")]
        put_result(stage, task, scores, samples_of("추론", "overall", values), judge="judge/1", scale=10)
        put_result(stage, f"{task}-vs", [], judge="judge/1", against="base")
    [found] = json.loads(gate("--margin", "0.01", "--json").stdout)["suites"]
    assert (found["suite"], found["metric"], found["items"]) == (task, "overall", 60)
    assert found["difference"] == pytest.approx(-0.1)
    assert found["candidate"] == pytest.approx(found["baseline"] - 1)
    assert found["verdict"] == "worse"


def test_by_default_the_suites_count_that_both_have_and_the_others_are_named(recipe: Path) -> None:
    for stage, suite in (("sft", "kobest"), ("dpo", "kobest"), ("sft", "logickor"), ("dpo", "haerae")):
        put(stage, suite, GOOD)
    ran = gate("--margin", "0.05")
    assert ran.exit_code == 0
    assert "\nnot compared, since only one of both stages has it: logickor, haerae\n" in ran.stdout
    assert "\npass: " in ran.stdout
    found = json.loads(gate("--margin", "0.05", "--json").stdout)
    assert [suite["suite"] for suite in found["suites"]] == ["kobest"]
    assert found["not_compared"] == ["logickor", "haerae"]
    assert json.loads(gate("--tasks", "kobest", "--json").stdout)["not_compared"] == []


def test_a_group_names_its_suites(recipe: Path) -> None:
    for stage, suite in product(("sft", "dpo"), (*CARDS, "click")):
        put(stage, suite, GOOD)
    found = json.loads(gate("--tasks", "kobest,cards", "--json").stdout)
    assert [suite["suite"] for suite in found["suites"]] == list(CARDS)


@pytest.mark.parametrize("stages", [("dpo", "sft"), ("simpo-12", "simpo-11")])
@pytest.mark.parametrize("needed", [None, 999_999, 61_215_438_330])
def test_a_suites_name_stays_readable(stages: tuple[str, str], needed: int | None) -> None:
    figures = (35_030, 0.5, 0.5, -0.0123, -0.01, 0.01, 1.0, 1.0, Verdict.UNKNOWN, needed)
    names = ("kmmlu_direct_hard", "komt@Qwen3-32B-Instruct")
    lines = fitted(as_table([Compared(name, "acc", *figures) for name in names], *stages)).splitlines()
    assert len(lines) <= 1 + 2 * len(names)
    assert max(map(len, lines)) <= 80
    assert ("needs 1,000,000+" in lines[1]) == (needed == 61_215_438_330)


def test_what_cannot_be_compared_is_one_line(recipe: Path) -> None:
    def refused(*arguments: str) -> str:
        ran = gate(*arguments)
        assert (ran.exit_code, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
        return ran.stderr.removeprefix("error: ")

    assert refused() == "runs/mine/eval: no results; run `make eval RECIPE=mine STAGE=sft,dpo`\n"
    put("sft", "kobest", GOOD)
    put("sft", "haerae", GOOD)
    put("dpo", "kobest", GOOD, limit=300)
    every = refused("--tasks", "haerae,kobest")
    assert every.startswith("runs/mine/eval/dpo: no result of haerae; measure it, or name what both")
    assert refused("--tasks", "quick").startswith("runs/mine/eval/sft: no result of click, kmmlu_direct, ")
    assert refused("--tasks", "gsm8k").startswith("runs/mine/eval/sft: no result of gsm8k;")
    said = refused("--tasks", "kobest")
    assert said.startswith(
        "runs/mine/eval/dpo/kobest.json: was measured with other limit than runs/mine/eval/sft/kobest"
    )
    put("dpo", "kobest", GOOD, metric="acc_norm")
    assert "has no item of acc in common with runs/mine/eval/sft/kobest.json" in refused("--tasks", "kobest")
    put("dpo", "kobest", GOOD)
    assert gate("--tasks", "kobest, kobest", "--margin", "0.05").exit_code == 0
    retrain("dpo")
    assert refused("--tasks", "kobest").startswith(
        "runs/mine/eval/dpo/kobest.json: of an earlier model of dpo; measure "
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--margin", "0"], "Invalid value for --margin: a share above 0 and below 1, such as 0.01"),
        (["--margin", "nan"], "Invalid value for --margin: a share above 0 and below 1, such as 0.01"),
        (["--baseline", "dpo"], "Invalid value for --baseline: dpo against itself says nothing; name another stage"),
        (["--baseline", "sfr"], "STAGE=sfr: there is no such stage; did you mean `sft`?"),
        (["--tasks", "kobset"], "TASKS=kobset: there is no such suite, group or result; did you mean `kobest`?"),
    ],
)
def test_a_call_that_is_wrong_says_so(recipe: Path, arguments: list[str], said: str) -> None:
    ran = gate(*arguments)
    assert ran.exit_code == 2
    assert ran.stderr.endswith(f"{said}\n")


def test_a_task_that_nothing_is_called_is_wrong_usage_with_the_names_that_there_are(recipe: Path) -> None:
    put("sft", "mine@judge", GOOD)
    ran = gate("--tasks", "nonsense")
    assert (ran.exit_code, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert "TASKS=nonsense: there is no such suite, group or result; known are kobest, " in ran.stderr
    assert all(name in ran.stderr for name in (*CARDS, "quick", "komt", "mine@judge"))
    for name in ("komt", "mine@judge"):
        assert "no result of" in gate("--tasks", name).stderr
        assert gate("--tasks", name).exit_code == 1
