"""A figure knows its items, and whether it is still that of the stage's model."""

from pathlib import Path
from statistics import fmean

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.records import Sample, Score, State
from rabbit_ko.evaluation.results.compare import Figure
from rabbit_ko.evaluation.results.table import make_table, read_results
from tests.rabbit_ko.evaluation.results.result_folder import MODELS, put_result, retrain, samples_of


def figure_of(recipe: Path, score: Score, samples: list[Sample]) -> Figure:
    """Write a result of one figure and read it again."""
    put_result("base", "kobest", [score], samples)
    [row] = [row for row in make_table("mine", ("base",)).rows if row.figures]
    return row.figures["base"]


def accuracy(value: float, task: str = "kobest_copa") -> Score:
    """An accuracy over some items."""
    return Score(task=task, metric="acc", value=value, stderr=0.1, items=4)


def test_the_items_are_those_of_the_task_and_the_metric(recipe: Path) -> None:
    samples = [
        *samples_of("kobest_copa", "acc", [1, 0, 1, 1]),
        *samples_of("kobest_copa", "f1", [0, 0, 0, 0]),
        *samples_of("kobest_wic", "acc", [0, 0, 0, 0]),
    ]
    assert list(figure_of(recipe, accuracy(0.75), samples).items.values()) == [1, 0, 1, 1]


def test_the_items_of_a_group_are_those_of_all_its_tasks(recipe: Path) -> None:
    parts = {"haerae_history": [1.0, 0.0, 0.0], "haerae_loan_word": [1.0]}
    samples = [sample for task, values in parts.items() for sample in samples_of(task, "acc", values)]
    figure = figure_of(recipe, accuracy(fmean([1, 0, 0, 1]), "haerae"), samples)
    assert sorted(figure.items.values()) == [0, 0, 1, 1]


def test_an_item_that_stands_twice_is_two_items(recipe: Path) -> None:
    samples = samples_of("kobest_copa", "acc", [1, 0]) + samples_of("kobest_copa", "acc", [1, 1])
    assert len(figure_of(recipe, accuracy(0.75), samples).items) == 4


def test_items_that_do_not_add_up_to_the_figure_are_none_of_it(recipe: Path) -> None:
    assert figure_of(recipe, accuracy(0.5), samples_of("kobest_copa", "acc", [1, 0, 1, 1])).items == {}


def test_a_new_model_makes_a_result_stale_and_a_base_makes_what_is_on_it_stale(recipe: Path) -> None:
    adapter = MODELS["sft"] / "adapter_config.json"
    adapter.write_text(f'{{"base_model_name_or_path": "{MODELS["base"]}"}}')
    for stage in MODELS:
        put_result(stage, "kobest", [accuracy(0.5)])
    assert [read_results("mine", stage)[0].state for stage in MODELS] == [State.CURRENT] * 3
    retrain("base")
    assert [read_results("mine", stage)[0].state for stage in MODELS] == [State.STALE, State.STALE, State.CURRENT]


def test_what_a_server_answered_is_called_so_until_the_stage_is_another(recipe: Path) -> None:
    put_result("sft", "gsm8k", [accuracy(0.5)], backend="openai")
    assert read_results("mine", "sft")[0].state is State.SERVED
    retrain("sft")
    assert read_results("mine", "sft")[0].state is State.STALE


def test_a_model_that_is_not_here_is_not_called_stale(recipe: Path) -> None:
    put_result("dpo", "gsm8k", [accuracy(0.5)])
    (MODELS["dpo"] / "run.json").unlink()
    assert read_results("mine", "dpo")[0].state is State.UNCHECKED


def test_results_come_in_the_order_of_the_cards(recipe: Path) -> None:
    names = ["logickor-1-shot", "kobest", "kmmlu", "logickor", "ifeval"]
    for name in names:
        put_result("base", name, [accuracy(0.5)])
    found = [result.task for result in read_results("mine", "base")]
    assert found == ["kobest", "ifeval", "logickor", "logickor-1-shot", "kmmlu"]


@pytest.mark.parametrize("name", ["kobest.json", "kobest.samples.jsonl"])
def test_a_damaged_file_is_named(recipe: Path, name: str) -> None:
    put_result("base", "kobest", [accuracy(0.5)])
    (Path("runs/mine/eval/base") / name).write_text("{\n")
    with pytest.raises(UserError, match=rf"runs/mine/eval/base/{name}: (Invalid JSON|damaged)"):
        make_table("mine")
