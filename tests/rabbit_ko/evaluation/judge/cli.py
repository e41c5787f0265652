"""The command line, run in this process or in one of its own."""

import json
import re
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

from rabbit_ko.evaluation.records import Result, read_result
from rabbit_ko.evaluation.results.words import NOTES, translate
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request, Rule, verdict
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit

HUB = "hub"
FEW = Path(HUB, "maywell/LogicKor/questions.jsonl")
SAMPLE_HUB = ROOT / "rabbit_ko/evaluation/samples/hub"
SAMPLES = SAMPLE_HUB / "maywell/LogicKor/questions.jsonl"
TASK = f"logickor@{MODEL}"
RESULTS = Path("runs/smoke/eval/base")
ANSWERS = RESULTS / "judge/logickor/answers.jsonl"
JUDGED = RESULTS / "judge/logickor" / MODEL / "judged.jsonl"
VERDICTS = RESULTS / "judge/logickor" / MODEL / "verdicts.jsonl"
# What is said before anything is asked.
SAID_FIRST = re.compile(r"(?:[0-9,]+|no) requests")


def answer(request: Request) -> Reply:
    """Answer as a model would: with a text that depends on all that was said."""
    said = [message["content"] for message in request.body["messages"]]
    return Reply(f"{len(said)}개의 말 가운데 마지막은 {len(said[-1])}자입니다.")


def arguments(judge: Judge, model: Judge, *more: str) -> list[str]:
    """The arguments that run smoke's base against two servers."""
    servers = ["--judge-url", judge.url, "--judge-model", MODEL, "--model-url", model.url, "--model-name", "served"]
    hub = [] if "--hub-dir" in more else ["--hub-dir", HUB]
    return ["judge", "--stage", "base", *servers, *hub, *more]


def run(judge: Judge, model: Judge, *more: str, exit_code: int = 0) -> Ran:
    """Run, expect the exit code, and after a failure one line."""
    result = rabbit(*arguments(judge, model, *more))
    assert result.exit_code == exit_code, result.output
    if exit_code == 1:
        assert result.stdout == ""
        *before, last = result.stderr.splitlines()
        assert last.startswith("error: ")
        assert all(SAID_FIRST.match(line) for line in before)
    return result


def start(judge: Judge, model: Judge, *more: str, **options: Any) -> subprocess.Popen[str]:
    """Start a run in a process of its own."""
    command = [sys.executable, "-m", "rabbit_ko.cli", *arguments(judge, model, *more)]
    variables = environment(PYTHONPATH=str(ROOT))
    options |= {"env": variables, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process: subprocess.Popen[str] = subprocess.Popen(command, **options)
    return process


def result_of(task: str = TASK, folder: Path = RESULTS) -> Result:
    """Read the result, each note of which has to have Korean words."""
    result = read_result(folder, task)
    assert result
    assert [note for note in result.notes if not translate(note, NOTES)] == []
    return result


def lines(file: Path) -> list[dict[str, Any]]:
    """Read JSON lines, each of which has to be whole."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write_questions(file: Path, *rows: dict[str, Any]) -> str:
    """Write a file of questions as LogicKor does, with a BOM."""
    file.parent.mkdir(parents=True, exist_ok=True)
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


def better(request: Request) -> Reply:
    """Find the answer better whose conversation is the longer one, wherever it stands."""
    sides = [
        sum(map(len, re.findall(rf"<[^<>]*답변 {side} \w+>\n(.*?)\n</", request.text, re.DOTALL))) for side in "AB"
    ]
    found = "무승부" if sides[0] == sides[1] else "AB"[sides[1] > sides[0]]
    return Reply(f"평가: 둘을 견주었습니다.\n더 나은 답변: {found}")
