"""Mistakes on the command line: one line that says what to do, exit code 1 or 2, and no request."""

from pathlib import Path

import pytest

from tests.rabbit_ko.evaluation.judge.cli import (
    HUB,
    RESULTS,
    SAMPLES,
    TASK,
    arguments,
    run,
)
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge
from tests.rabbit_ko.evaluation.rabbit import rabbit

ALL = 8


@pytest.fixture(autouse=True)
def _in_recipe(recipe: Path) -> None:
    """Run in a recipe's working directory."""


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (["--judge-url", ""], "who judges?"),
        (["--judge-model", ""], "who judges?"),
        (["--model-name", ""], "give both --model-url and"),
        (["--bench", "lojickor"], "BENCH: no bench `lojickor`; did you mean `logickor`?"),
        (["--rubric", "jeneral"], "RUBRIC: no rubric `jeneral`; did you mean `general`?"),
        (["--verdicts", "0"], "verdicts"),
        (["--against", "base"], "a stage is not compared with itself"),
        (["--against", "sft"], "--model-name: 1 for 2 stages (base, sft)"),
        (["--concurrency", "0"], "concurrency"),
        (["--judge-url", "judge"], "JUDGE_URL: not the URL of a server; say http://HOST:PORT/v1"),
        (["--judge-url", "http://[::1/v1"], "JUDGE_URL: not the URL of a server"),
        (["--judge-url", "http://host/v1?key=1"], "JUDGE_URL: http://HOST:PORT/v1, and no more"),
        (["--model-url", "ftp://host/v1"], "MODEL_URL: not the URL of a server"),
    ],
)
def test_wrong_usage_exits_with_2(judge: Judge, model: Judge, wrong: list[str], expected: str) -> None:
    assert expected in run(judge, model, *wrong, exit_code=2).stderr
    assert not judge.requests


def test_without_a_judge_nothing_is_begun(model: Judge) -> None:
    result = rabbit("judge", "--stage", "base", "--bench", str(SAMPLES))
    assert result.exit_code == 2
    assert "who judges? give --judge-url" in result.stderr


def test_servers_and_questions_may_be_in_the_environment(
    judge: Judge, model: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"RABBIT_JUDGE_URL": judge.url, "RABBIT_JUDGE_MODEL": MODEL, "RABBIT_HUB_DIR": HUB}
    for name, value in {**variables, "RABBIT_MODEL_URL": model.url, "RABBIT_MODEL_NAME": "served"}.items():
        monkeypatch.setenv(name, value)
    assert rabbit("judge", "--stage", "base").exit_code == 0
    assert len(judge.requests) == ALL


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--bench", "none.jsonl"], "none.jsonl: No such file or directory"),
        (["--hub-dir", "none"], "none/maywell/LogicKor/questions.jsonl: No such file or directory"),
        (["--rubric", "none.yaml"], "none.yaml: no such file"),
        (["--judge-url", "http://a b/v1"], "there is no such host; check JUDGE_URL"),
    ],
)
def test_what_is_not_there_is_one_line(judge: Judge, model: Judge, more: list[str], expected: str) -> None:
    assert expected in run(judge, model, *more, exit_code=1).stderr


def test_a_stage_that_is_not_trained_is_one_line(judge: Judge, model: Judge) -> None:
    command = [argument if argument != "base" else "sft" for argument in arguments(judge, model)]
    result = rabbit(*command)
    assert (result.exit_code, result.stderr) == (
        1,
        "error: runs/smoke/sft: no finished run; run `make sft RECIPE=smoke` first\n",
    )


def test_a_damaged_result_is_one_line(judge: Judge, model: Judge) -> None:
    run(judge, model)
    (RESULTS / f"{TASK}.json").write_text("{}")
    assert f"{TASK}.json: recipe: Field required" in run(judge, model, exit_code=1).stderr
