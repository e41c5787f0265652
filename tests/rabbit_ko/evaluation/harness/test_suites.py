"""The suites name what the harness has: its tasks, their data, their shots and their metrics."""

import pytest
from lm_eval.tasks import TaskManager

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness.suites import SUITES, TASKS_FOLDER, Suite, find_suites


@pytest.fixture(scope="module")
def manager() -> TaskManager:
    """The harness's tasks, and this project's."""
    return TaskManager(include_path=str(TASKS_FOLDER))


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_a_suite_is_what_the_harness_has(suite: Suite, manager: TaskManager) -> None:
    for name in _leaves(suite, manager):
        config = manager._get_config(name)
        included = {"dataset_path": suite.data, **config}
        assert included["dataset_path"] == suite.data
        metrics = {entry["metric"] for entry in config.get("metric_list", [])}
        filters = {entry["name"] for entry in config.get("filter_list", [])}
        for metric in suite.metrics:
            metric_name, _, filter_name = metric.partition(",")
            assert not metrics or metric_name in metrics
            assert filter_name in (filters or {""})
        assert suite.generates == (config.get("output_type", "multiple_choice") == "generate_until")


def test_korean_gsm8k_is_read_as_the_english_one_is(manager: TaskManager) -> None:
    english, korean = (manager._get_config(name) for name in ("gsm8k", "gsm8k_ko"))
    for key in ("metric_list", "filter_list", "num_fewshot", "fewshot_split", "test_split", "output_type"):
        assert korean[key] == english[key]


def test_suites_are_named_once_each_in_the_order_given() -> None:
    assert [suite.name for suite in find_suites("gsm8k, kobest,gsm8k")] == ["gsm8k", "kobest"]


@pytest.mark.parametrize("names", ["kobset", "kobest,mmlu", ",", ""])
def test_an_unknown_task_is_named_with_those_there_are(names: str) -> None:
    with pytest.raises(UserError, match="tasks: kobest, haerae, gsm8k, gsm8k_ko, ifeval"):
        find_suites(names)


def _leaves(suite: Suite, manager: TaskManager) -> list[str]:
    names: list[str] = []
    for task in suite.tasks:
        members = manager.task_index[task].get("task") if manager.task_index[task]["type"] == "group" else None
        names += manager._get_config(task)["task"] if members is not None or task == "haerae" else [task]
    return names
