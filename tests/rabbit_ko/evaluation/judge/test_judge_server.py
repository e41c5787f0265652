"""The judge beside a command: it is there while the command runs, and its verdicts can be read."""

import subprocess
import sys
from pathlib import Path

import pytest

from rabbit_ko.evaluation.judge.verdicts import read_verdict
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.judge.cli import HUB, result_of
from tests.rabbit_ko.evaluation.judge_server import Judge, Request, verdict

WITH_JUDGE = [sys.executable, "-m", "tests.rabbit_ko.evaluation.judge_server"]


@pytest.mark.parametrize("number", range(20))
def test_every_verdict_can_be_read_and_is_always_the_same(number: int) -> None:
    request = Request({"messages": [{"role": "user", "content": f"질문 {number}"}]}, "")
    assert read_verdict("score", verdict(request).text or "", lowest=0.0) is not None
    assert verdict(request) == verdict(request)


def test_a_command_runs_beside_a_judge(recipe: Path, model: Judge) -> None:
    program = [sys.executable, "-m", "rabbit_ko.cli", "judge", "--stage", "base", "--hub-dir", HUB]
    variables = environment(PYTHONPATH=str(ROOT), RABBIT_MODEL_URL=model.url, RABBIT_MODEL_NAME="served")
    done = subprocess.run([*WITH_JUDGE, *program], env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert result_of().settings["judge"] == "local-judge"
    assert {score.missing for score in result_of().scores} == {0}


@pytest.mark.parametrize("code", [0, 7])
def test_the_commands_exit_code_is_passed_on(code: int) -> None:
    command = [*WITH_JUDGE, "sh", "-c", f'test -n "$RABBIT_JUDGE_URL" && exit {code}']
    assert subprocess.run(command, cwd=ROOT, timeout=300).returncode == code


def test_without_a_command_the_usage_is_shown() -> None:
    done = subprocess.run(WITH_JUDGE, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")
