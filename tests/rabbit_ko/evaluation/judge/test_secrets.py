"""The key goes to the server that it is for, and into no file, output or error."""

from pathlib import Path

import pytest

from rabbit_ko.cli import main
from tests.rabbit_ko.evaluation.judge.cli import arguments, result_of, run
from tests.rabbit_ko.evaluation.judge_server import Judge, Reply

SOON = {"Retry-After-Ms": "20"}
KEY = "sk-aSecretThatNobodyMayRead-0123456789"


@pytest.fixture(autouse=True)
def _in_recipe(recipe: Path) -> None:
    """Run in a recipe's working directory."""


@pytest.mark.parametrize("variable", ["JUDGE_API_KEY", "OPENAI_API_KEY"])
def test_the_key_goes_to_the_judge_and_nowhere_else(
    judge: Judge, model: Judge, monkeypatch: pytest.MonkeyPatch, recipe: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, f" {KEY}\n")
    monkeypatch.setenv("MODEL_API_KEY", "another")
    judge.rule = lambda request: Reply(f"평가: {request.key}를 보았습니다.\n점수: 5")
    output = run(judge, model).output
    assert {request.key for request in judge.requests} == {KEY}
    assert {request.key for request in model.requests} == {"another"}
    assert found_in(recipe, output) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_an_error_that_repeats_the_key_does_not_show_it(
    judge: Judge,
    model: Judge,
    monkeypatch: pytest.MonkeyPatch,
    recipe: Path,
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("rabbit_ko.evaluation.endpoint.RETRIES", 1)
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    judge.rule = lambda _: Reply(f"{'x' * 180} {KEY}", status, SOON)
    output = run(judge, model, exit_code=1).output
    with pytest.raises(SystemExit):
        main([*arguments(judge, model), "--debug"])
    output += capsys.readouterr().err
    assert "Traceback" in output
    assert output.count(f"answers {status}") >= 2
    assert found_in(recipe, output) == []


def found_in(folder: Path, output: str) -> list[str]:
    """Where a part of the key is: in the output, or in files."""
    part = KEY[:12]
    files = [
        file for file in folder.rglob("*") if file.is_file() and not file.is_relative_to(folder / "axolotl_configs")
    ]
    found = [str(file) for file in files if part.encode() in file.read_bytes()]
    return found + (["the output"] if part in output else [])


def test_a_key_that_is_none_does_not_blot_out_scores(
    judge: Judge, model: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "7")
    judge.rule = lambda _: Reply("점수: 7")
    run(judge, model)
    assert result_of().scores[-1].value == 7.0


@pytest.mark.parametrize("key", ["키", "a\x7fb", "two\nlines"])
def test_a_key_that_cannot_be_sent_is_one_line_without_it(
    judge: Judge, model: Judge, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", key)
    error = run(judge, model, exit_code=1).stderr
    assert "its key, in JUDGE_API_KEY or OPENAI_API_KEY, has a character that no key has" in error
    assert key not in error


@pytest.mark.parametrize("url", [f"http://me:{KEY}@127.0.0.1:9/v1", f"http://127.0.0.1:9/v1?token={KEY}"])
@pytest.mark.parametrize("option", ["--judge-url", "--model-url"])
def test_a_secret_in_a_url_is_refused_and_not_shown(
    judge: Judge, model: Judge, recipe: Path, option: str, url: str
) -> None:
    output = run(judge, model, option, url, exit_code=2).output
    role = option[2:7].upper()
    assert f"error: {role}_URL: http://HOST:PORT/v1, and no more: a key goes into {role}_API_KEY" in output
    assert found_in(recipe, output) == []
    assert not judge.requests


def test_the_judges_key_is_not_sent_to_the_model(judge: Judge, model: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    run(judge, model)
    assert {request.key for request in judge.requests} == {KEY}
    assert KEY not in {request.key for request in model.requests}
