"""Several stages share one process: each is measured with a model of its own, and what is finished stays."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness import evaluation as harness
from rabbit_ko.evaluation.harness import measuring
from rabbit_ko.evaluation.records import Model, Score, save_result
from tests.rabbit_ko.evaluation.rabbit import rabbit
from tests.rabbit_ko.evaluation.results.result_folder import make_recipe

RESULTS = Path("runs/mine/eval")


@pytest.fixture
def done(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A recipe of two stages, and what is done in the place of running the harness on models."""
    make_recipe()
    seen: list[Any] = []

    def evaluate(evaluation: harness.Evaluation, suite: Any, model: Model) -> Any:
        stage = evaluation.stage
        seen.append((stage.name, suite.name))
        if Path(f"{stage.name}-fails").exists():
            raise UserError(f"{suite.name}: no memory; finished tasks are kept")
        if Path(f"{stage.name}-interrupted").exists():
            raise KeyboardInterrupt
        settings, scores = evaluation.settings(suite), [Score(task=suite.name, metric="acc", value=0.5, items=2)]
        fields = {"task": suite.name, "model": model, "settings": settings, "scores": scores}
        return save_result(stage, datetime.now(UTC), [], **fields)

    @contextmanager
    def released() -> Iterator[None]:
        try:
            yield
        finally:
            seen.append("released")

    monkeypatch.setattr(harness, "evaluate", evaluate)
    monkeypatch.setattr(measuring, "released", released)
    monkeypatch.setattr(
        measuring, "model_of", lambda stage, *_: Model(path=stage.model, fingerprint="1", backend="hf")
    )
    return seen


def evaluate(stages: str, *options: str) -> Any:
    """Run the command on two suites."""
    return rabbit("eval", "--recipe", "mine", "--stage", stages, "--tasks", "kobest,haerae", *options)


def test_a_model_is_let_go_of_before_the_next_is_loaded(done: list[Any]) -> None:
    ran = evaluate("base, sft,dpo,sft")
    assert ran.exit_code == 0
    stages = ("base", "sft", "dpo")
    assert done == [it for stage in stages for it in ((stage, "kobest"), (stage, "haerae"), "released")]
    heads = [line.split(",")[0] for line in ran.stdout.splitlines() if line.startswith("mine ")]
    assert heads == [f"mine {stage}" for stage in stages for _ in range(2)]
    assert [f"evaluating {stage}; its log is {RESULTS / stage}/log.txt" in ran.stderr for stage in stages] == [
        True
    ] * 3


def test_a_result_has_the_command_that_measures_its_stage_alone(done: list[Any]) -> None:
    evaluate("base,sft")
    for stage in ("base", "sft"):
        result = json.loads((RESULTS / stage / "kobest.json").read_text(encoding="utf-8"))
        assert result["command"] == f"rabbit eval --recipe mine --stage {stage} --tasks kobest,haerae"


def test_what_is_finished_loads_no_model(done: list[Any]) -> None:
    evaluate("sft")
    done.clear()
    again = evaluate("sft")
    assert done == []
    assert again.stdout.count("finished before") == 2
    assert again.stderr == ""
    evaluate("base,sft")
    assert done == [("base", "kobest"), ("base", "haerae"), "released"]


def kept() -> list[Any]:
    """The limits of the base's results."""
    files = [RESULTS / "base" / f"{suite}.json" for suite in ("kobest", "haerae")]
    return [json.loads(file.read_text(encoding="utf-8"))["settings"]["limit"] for file in files]


@pytest.mark.parametrize(("more", "fewer"), [("0", "6"), ("6", "1")])
def test_fewer_items_do_not_replace_more_which_are_shown(done: list[Any], more: str, fewer: str) -> None:
    evaluate("base", "--limit", more)
    before = kept()
    done.clear()
    ran = evaluate("base", "--limit", fewer)
    assert (ran.exit_code, done, kept()) == (0, [], before)
    assert ran.stdout.count("finished before") == 2
    file = RESULTS / "base/kobest.json"
    assert ran.stderr.splitlines()[0] == (
        f"kobest: more items than asked for are finished, and stay; to ask fewer, move {file}"
    )
    file.unlink()
    evaluate("base", "--limit", fewer)
    assert kept() == [int(fewer), before[1]]


def test_a_quick_look_measures_only_what_is_not_there_in_full(done: list[Any]) -> None:
    evaluate("base")
    done.clear()
    assert rabbit("eval", "--recipe", "mine", "--stage", "base", "--tasks", "quick").exit_code == 0
    assert [suite for _, suite in done[:-1]] == ["click", "kmmlu_direct", "gsm8k_ko", "ifeval_ko"]
    assert kept() == [None, None]


def test_fewer_items_that_are_asked_in_another_way_are_refused(done: list[Any]) -> None:
    evaluate("base")
    done.clear()
    ran = evaluate("base", "--limit", "2", "--template", "on")
    assert (ran.exit_code, done, kept()) == (1, [], [None, None])
    assert ran.stderr == (
        f"error: {RESULTS}/base/kobest.json: has more items of this model; the first 2 of each task, asked in "
        "another way, would replace them; move the file away, or set LIMIT=0 to ask all\n"
    )
    assert evaluate("base", "--template", "on").exit_code == 0


def test_more_items_replace_fewer_and_fewer_of_a_new_model_replace_more(
    done: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate("base", "--limit", "2")
    evaluate("base", "--limit", "3")
    assert kept() == [3, 3]
    new = Model(path="runs/mine/base", fingerprint="2", backend="hf")
    monkeypatch.setattr(measuring, "model_of", lambda *_: new)
    evaluate("base", "--limit", "1")
    assert kept() == [1, 1]


def test_a_mistake_in_the_middle_names_its_stage_and_what_is_finished_stays(done: list[Any]) -> None:
    Path("sft-fails").touch()
    ran = evaluate("base,sft,dpo")
    assert ran.exit_code == 1
    assert ran.stderr.splitlines()[-1] == "error: sft: kobest: no memory; finished tasks are kept"
    assert done[-2:] == [("sft", "kobest"), "released"]
    assert {file.stem for file in RESULTS.glob("base/*.json")} == {"kobest", "haerae"}
    assert not (RESULTS / "dpo").exists()
    Path("sft-fails").unlink()
    assert evaluate("base,sft,dpo").stdout.count("finished before") == 2


def test_ctrl_c_in_the_middle_is_one_line_and_what_is_finished_stays(done: list[Any]) -> None:
    Path("sft-interrupted").touch()
    ran = evaluate("base,sft,dpo")
    assert ran.exit_code == 130
    assert ran.stderr.splitlines()[-1] == "error: interrupted; the same command resumes from here"
    assert done[-1] == "released"
    assert {file.stem for file in RESULTS.glob("base/*.json")} == {"kobest", "haerae"}


def test_a_stage_that_there_is_none_of_is_said_before_any_is_measured(done: list[Any]) -> None:
    ran = evaluate("base,sfr")
    assert (ran.exit_code, ran.stderr) == (2, "error: STAGE=sfr: there is no such stage; did you mean `sft`?\n")
    assert done == []


@pytest.mark.parametrize(
    "options", [("--backend", "vllm"), ("--model-url", "http://localhost:1/v1", "--model-name", "m")]
)
def test_a_server_and_vllm_take_one_stage_at_a_time(done: list[Any], options: tuple[str, ...]) -> None:
    ran = evaluate("base,sft", *options)
    assert (ran.exit_code, done) == (2, [])
    assert "name one stage: a server has one model, and vLLM gives no memory back" in ran.stderr
