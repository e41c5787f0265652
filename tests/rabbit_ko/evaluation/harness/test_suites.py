"""The suites name what the harness has: its tasks, their data, their shots and their metrics."""

from collections.abc import Iterable

import pytest
from lm_eval.tasks import TaskManager

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness.suites import GROUPS, SUITES, TASKS_FOLDER, Suite, find_suites
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def manager() -> TaskManager:
    """The harness's tasks, and this project's."""
    return TaskManager(include_path=str(TASKS_FOLDER))


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_a_suite_is_what_the_harness_has(suite: Suite, manager: TaskManager) -> None:
    configs = [manager._get_config(name) for name in _leaves(suite.tasks, manager)]
    named = {entry["metric"] for config in configs for entry in config["metric_list"]}
    assert {metric.partition(",")[0] for metric in suite.metrics} <= named
    for config in configs:
        assert config["dataset_path"] == suite.data
        filters = {entry["name"] for entry in config.get("filter_list", [])}
        assert {metric.partition(",")[2] for metric in suite.metrics} == (filters or {""})
        assert suite.generates == (config["output_type"] == "generate_until")
        assert suite.generates or config["output_type"] == "multiple_choice"


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_the_shots_of_a_task_that_fixes_them_are_said(suite: Suite, manager: TaskManager) -> None:
    fixed = {manager._get_config(name).get("num_fewshot") for name in _leaves(suite.tasks, manager)}
    assert suite.shots == 0 if 0 in fixed else True


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_what_is_shown_is_a_group_of_the_harness_or_of_the_project(suite: Suite, manager: TaskManager) -> None:
    assert set(suite.shown) <= set(manager.all_groups)


def test_each_item_of_kbl_is_in_one_of_its_groups(manager: TaskManager) -> None:
    leaves = _leaves(SUITES["kbl"].tasks, manager)
    assert sorted(leaves) == sorted(manager.task_index["kbl"]["task"])
    assert len(leaves) == len(set(leaves)) > 60


def test_the_terms_of_a_license_are_said() -> None:
    assert "cc-by-nd-4.0; no derivatives" in SUITES["kmmlu_direct"].terms
    assert "cc-by-nc-4.0; not for commercial use" in SUITES["kobalt"].terms
    assert "names no license" in SUITES["click"].terms
    # the hub: HAE_RAE_BENCH is the earlier name of HAE_RAE_BENCH_1.1
    assert "cc-by-nc-nd-4.0; not for commercial use; no derivatives" in SUITES["haerae"].terms
    assert SUITES["hrm8k"].terms == "HAERAE-HUB/HRM8K: mit"


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_the_docs_say_a_suites_data_license_and_shots(suite: Suite) -> None:
    page = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith(f"| `{suite.name}` | ")]
    data, license_, shots, _, asked = (cell.strip() for cell in line.strip("| ").split("|")[1:])
    assert data.startswith(suite.data)
    assert (license_, int(shots)) == (suite.license or "none named", suite.shots)
    assert asked == ("the recipe's prompt" if suite.generates else "bare text")


def test_korean_gsm8k_is_read_as_the_english_one_is(manager: TaskManager) -> None:
    english, korean = (manager._get_config(name) for name in ("gsm8k", "gsm8k_ko"))
    for key in ("metric_list", "filter_list", "num_fewshot", "fewshot_split", "test_split", "output_type"):
        assert korean[key] == english[key]


def test_suites_are_named_once_each_in_the_order_given() -> None:
    assert [suite.name for suite in find_suites("gsm8k, kobest,gsm8k")] == ["gsm8k", "kobest"]


def test_the_cards_are_what_an_evaluation_was_before_there_were_groups() -> None:
    found = find_suites("cards")
    assert [suite.name for suite in found] == ["kobest", "haerae", "gsm8k", "gsm8k_ko", "ifeval"]
    assert {suite.limit for suite in found} == {None}


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_names_suites(group: str) -> None:
    assert [suite.name for suite in find_suites(group)] == list(GROUPS[group])


@pytest.mark.parametrize("names", ["quick,kobest", "kobest,quick", "quick,cards"])
def test_a_suite_that_is_named_alone_is_run_in_full(names: str) -> None:
    limits = {suite.name: suite.limit for suite in find_suites(names)}
    assert limits["kobest"] is None
    assert limits["click"] == GROUPS["quick"]["click"]


@pytest.mark.parametrize("names", ["kobset", "kobest,mmlu", ",", ""])
def test_an_unknown_task_is_named_with_those_there_are(names: str) -> None:
    with pytest.raises(UserError, match=r"tasks: kobest, haerae, gsm8k, gsm8k_ko, ifeval, .*groups of them: cards"):
        find_suites(names)


def _leaves(tasks: Iterable[str], manager: TaskManager) -> list[str]:
    names: list[str] = []
    for task in tasks:
        kind, members = manager.task_index[task]["type"], manager.task_index[task].get("task")
        if kind == "task":
            names.append(task)
        else:
            names += _leaves(members if kind == "tag" else manager._get_config(task)["task"], manager)
    return names
