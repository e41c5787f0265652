"""Figures have the intervals that their items allow; what was answered is kept once an item."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.evaluation.harness.figures import answers_of, mean_over_tasks, samples_of, scores_of, with_interval
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.intervals import share_of
from rabbit_ko.evaluation.records import Sample, Score
from rabbit_ko.evaluation.results.compare import values_of

OUTCOMES = st.lists(st.booleans(), min_size=1, max_size=60)


def score(value: float, items: int, **fields: Any) -> Score:
    """A figure of a task."""
    return Score(**{"task": "kobest_copa", "metric": "acc", "value": value, "items": items, **fields})


def samples(values: list[float], task: str = "kobest_copa") -> list[Sample]:
    """A value of each item."""
    return [Sample(task=task, item=str(place), metric="acc", value=value) for place, value in enumerate(values)]


def test_none_of_six_is_no_certainty() -> None:
    found = with_interval(score(0.0, 6, stderr=0.0), samples([0.0] * 6))
    assert found.low == 0.0
    assert found.high == pytest.approx(0.3903, abs=1e-4)


@given(OUTCOMES)
def test_a_share_has_wilsons_interval(outcomes: list[bool]) -> None:
    values = [float(outcome) for outcome in outcomes]
    found, share = (
        with_interval(score(math.fsum(values) / len(values), len(values)), samples(values)),
        share_of(outcomes),
    )
    assert (found.low, found.high) == (share.low, share.high)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value + 1e-12
    assert found.high >= found.value - 1e-12


@pytest.mark.parametrize(
    ("value", "values"),
    [(0.5, []), (0.25, [0.5, 0.0]), (0.4, [1.0, 0.0])],
    ids=["no items are kept", "items are right in part", "the items have another mean"],
)
def test_what_is_no_share_of_right_items_has_no_such_interval(value: float, values: list[float]) -> None:
    assert with_interval(score(value, 2), samples(values)).low is None


def test_the_items_of_a_group_are_those_of_its_tasks() -> None:
    kept = [*samples([1.0, 0.0], "a"), *samples([1.0], "b"), *samples([0.0] * 5, "other")]
    group = score(2 / 3, 3, task="group", tasks=["a", "b"])
    found = with_interval(group, kept)
    assert (found.low, found.high) == (share_of([True, False, True]).low, share_of([True, False, True]).high)
    assert sorted(values_of(group, kept)) == ["a 0 1", "a 1 1", "b 0 1"]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_the_mean_over_tasks_weighs_each_the_same(tasks: list[tuple[float, float]]) -> None:
    found = mean_over_tasks(
        "kobest", [score(value, 10**place, stderr=error) for place, (value, error) in enumerate(tasks)]
    )
    assert found.value == pytest.approx(sum(value for value, _ in tasks) / len(tasks))
    assert found.stderr == pytest.approx(math.sqrt(sum(error**2 for _, error in tasks)) / len(tasks))
    assert (found.task, found.low) == ("kobest", None)


def test_a_mean_over_a_task_without_an_error_has_none() -> None:
    assert mean_over_tasks("kobest", [score(0.5, 2, stderr=0.1), score(0.5, 2)]).stderr is None


def test_f1_is_of_all_items_together_so_no_item_has_one() -> None:
    rows = {"kobest_copa": [row("none", acc=1.0, f1=(0, 0)), row("none", acc=0.0, f1=(0, 1))]}
    kept = list(samples_of(rows, SUITES["kobest"]))
    assert {sample.metric for sample in kept} == {"acc"}
    figure = score(0.5, 2, metric="f1")
    assert values_of(figure, kept) == {}
    assert with_interval(figure, kept).low is None


def test_an_answer_is_kept_once_though_two_filters_read_it() -> None:
    filters = {"strict-match": ["12"], "flexible-extract": ["7"]}
    rows = {
        "gsm8k": [row(name, filtered_resps=read, exact_match=float(read == ["12"])) for name, read in filters.items()]
    }
    for place in rows["gsm8k"]:
        place |= {"arguments": [("질문", {"until": []})], "resps": [["#### 12 그리고 7"]], "target": "#### 12"}
    [answer] = answers_of(rows, SUITES["gsm8k"])
    assert (answer.prompt, answer.answer, answer.target) == ("질문", "#### 12 그리고 7", "#### 12")
    assert answer.read == {"strict-match": "12", "flexible-extract": "7"}
    assert answer.values == {"exact_match,strict-match": 1.0, "exact_match,flexible-extract": 0.0}
    assert answer.is_right


def test_what_ifeval_wants_is_named() -> None:
    found = row("none", doc={"instruction_id_list": ["a:b", "c:d"]}, target=0, prompt_level_strict_acc=True)
    found |= {"arguments": [("묻다", {})], "resps": [["답"]]}
    [answer] = answers_of({"ifeval": [found]}, SUITES["ifeval"])
    assert (answer.target, answer.values) == ("a:b, c:d", {"prompt_level_strict_acc": 1.0})


def test_figures_that_are_not_shown_are_in_the_harnesss_output_only() -> None:
    figures = {"acc,none": 0.5, "acc_stderr,none": 0.1, "acc_norm,none": 0.5, "acc_norm_stderr,none": "N/A"}
    tasks = ("click_lang_text", "click_cul_law")
    output = {
        "results": dict.fromkeys(("click", "click_lang", "click_cul", *tasks), figures),
        "group_subtasks": {
            **{"click": ["click_lang", "click_cul"], "click_lang": [tasks[0]], "click_cul": [tasks[1]]},
            **{task: [] for task in tasks},
        },
        "n-samples": {task: {"effective": 2} for task in tasks},
    }
    scores = scores_of(output, SUITES["click"], [])
    assert [each.task for each in scores] == ["click"] * 2 + ["click_lang"] * 2 + ["click_cul"] * 2
    assert [(each.items, each.tasks, each.stderr) for each in scores[:2]] == [(4, [*tasks], 0.1), (4, [*tasks], None)]


def row(kept: str, **fields: Any) -> dict[str, Any]:
    """An item in the harness's log."""
    return {"doc_id": 0, "doc": {}, "doc_hash": "h", "filter": kept, "filtered_resps": [""], **fields}
