"""The command line, run in this process or in one of its own."""

import json
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

from rabbit_ko.evaluation.records import Result, read_result
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request, Rule, verdict
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit

FEW = "few.jsonl"
SAMPLES = ROOT / "rabbit_ko/evaluation/samples/logickor.jsonl"
RESULTS = Path("runs/smoke/eval/base")
JUDGED = RESULTS / "logickor/default/judged.jsonl"
VERDICTS = RESULTS / "logickor/default/verdicts.jsonl"
ANSWERS = RESULTS / "logickor/default/answers.jsonl"


def answer(request: Request) -> Reply:
    """Answer as a model would: with a text that depends on all that was said."""
    said = [message["content"] for message in request.body["messages"]]
    return Reply(f"{len(said)}개의 말 가운데 마지막은 {len(said[-1])}자입니다.")


def arguments(judge: Judge, model: Judge, *more: str) -> list[str]:
    """The arguments that run smoke's base against two servers."""
    servers = ["--judge-url", judge.url, "--judge-model", MODEL, "--model-url", model.url, "--model-name", "served"]
    questions = [] if "--questions" in more else ["--questions", FEW]
    return ["logickor", "--stage", "base", *servers, *questions, *more]


def run(judge: Judge, model: Judge, *more: str, exit_code: int = 0) -> Ran:
    """Run, expect the exit code, and after a failure one line."""
    result = rabbit(*arguments(judge, model, *more))
    assert result.exit_code == exit_code, result.output
    if exit_code == 1:
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
    return result


def start(judge: Judge, model: Judge, *more: str, **options: Any) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    command = [sys.executable, "-m", "rabbit_ko.cli", *arguments(judge, model, *more)]
    variables = environment(PYTHONPATH=str(ROOT))
    options |= {"env": variables, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process: subprocess.Popen[str] = subprocess.Popen(command, **options)
    return process


def result_of(task: str = "logickor") -> Result:
    """Read the result."""
    result = read_result(RESULTS, task)
    assert result
    return result


def lines(file: Path) -> list[dict[str, Any]]:
    """Read JSON lines, each of which has to be whole."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write_questions(file: Path, *rows: dict[str, Any]) -> str:
    """Write a file of questions as upstream does, with a BOM."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8-sig")
    return str(file)


def sample_rows() -> list[dict[str, Any]]:
    """The rows of this project's questions."""
    return [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8-sig").splitlines()]


def after(verdicts: int, reply: Reply) -> Rule:
    """A rule that gives so many verdicts, and then this reply."""
    numbers = count()
    return lambda request: verdict(request) if next(numbers) < verdicts else reply


def asked(judge: Judge) -> Counter[str]:
    """How often each answer was sent to the judge."""
    return Counter(request.text for request in judge.requests)
