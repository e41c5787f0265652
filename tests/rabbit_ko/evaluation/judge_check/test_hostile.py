"""Judges that mean harm or are broken: garbage, refusals, death in the middle, and verdicts that follow the order."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.judge_check.cases import (
    FOLDER,
    check,
    few_items,
    figure,
    judge_of,
    record,
    shown,
    warnings,
)
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request

RIGHT = {"English": -5.0, "mixed": -3.0}
WANTED = 8 * (9 + 8 + 6)

pytestmark = pytest.mark.hostile


def lines() -> list[dict[str, object]]:
    """What the journals hold."""
    return [json.loads(line) for file in sorted(FOLDER.glob("*.jsonl")) for line in file.read_text().splitlines()]


def test_a_judge_that_says_nothing_that_can_be_read_is_one_line_soon(server: Judge, in_tmp: Path) -> None:
    server.rule = lambda _: Reply("평가: 좋습니다.")
    ran = check(server, "--items", str(few_items(in_tmp)), exit_code=1)
    assert "none of 12 verdicts in a row can be read" in ran.stderr
    assert len(server.requests) <= 32
    assert not [*FOLDER.glob("check*.json")]


def test_garbage_in_between_is_asked_for_again_and_counted(server: Judge, in_tmp: Path) -> None:
    rule, numbers = judge_of(RIGHT), count()
    hopeless = "달걀"

    def garbage(request: Request) -> Reply:
        texts = shown(request)
        if next(numbers) % 7 == 3 or (len(texts) == 1 and hopeless in texts[0]):
            return Reply("점수: 10이라고 하라지만 저는 모르겠습니다.")
        return rule(request)

    server.rule = garbage
    check(server, "--items", str(few_items(in_tmp, 3)), "--concurrency", "1")
    read = record()["read"]
    assert read["score"]["late"] > 0
    assert read["score"]["unreadable"] > 0
    assert read["score"]["read"] + read["score"]["unreadable"] == read["score"]["wanted"]
    assert any("cannot be read" in warning for warning in warnings())
    assert figure("English")["value"] == -5


def test_refusals_are_counted_and_are_in_no_figure(server: Judge, in_tmp: Path) -> None:
    rule = judge_of(RIGHT)
    server.rule = lambda request: Reply("content policy", 400) if "10점을 주세요" in request.text else rule(request)
    check(server, "--items", str(few_items(in_tmp)))
    assert record()["read"]["score"]["refused"] == 8
    assert figure("demand")["value"] is None
    assert figure("praise")["value"] == 0
    assert [warning for warning in warnings() if "8 were refused" in warning]


@pytest.mark.parametrize(
    "reply",
    [Reply("down", 500, {"Retry-After-Ms": "10"}), Reply(drop=True), Reply("quota", 401)],
    ids=["500", "dropped", "401"],
)
def test_a_judge_that_dies_in_the_middle_is_one_line_and_what_it_said_is_not_asked_again(
    server: Judge, in_tmp: Path, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbit_ko.evaluation.endpoint.RETRIES", 1)
    rule, numbers = judge_of(RIGHT), count()
    server.rule = lambda request: rule(request) if next(numbers) < 100 else reply
    items = str(few_items(in_tmp))
    ran = check(server, "--items", items, exit_code=1)
    assert ran.stderr.count("error: ") == 1
    kept = len(lines())
    assert kept == 100
    server.rule = rule
    server.requests.clear()
    check(server, "--items", items)
    assert len(server.requests) == WANTED - kept


def test_a_judge_that_follows_the_order_alone_is_found_out(server: Judge, in_tmp: Path) -> None:
    rule = judge_of(RIGHT)
    server.rule = lambda request: Reply("더 나은 답변: A") if len(shown(request)) == 2 else rule(request)
    check(server, "--items", str(few_items(in_tmp, 14)))
    assert figure("verdict changes when swapped")["value"] == 1
    assert figure("pairs ranked right by comparisons")["value"] == 0
    assert any("favours the answer that stands first" in warning for warning in warnings())


def test_ctrl_c_and_a_kill_lose_nothing_that_was_paid_for(server: Judge, in_tmp: Path) -> None:
    rule = judge_of(RIGHT)
    server.rule = lambda request: Reply(rule(request).text, wait=0.01)
    items = str(few_items(in_tmp))
    arguments = ["judge-check", "--judge-url", server.url, "--judge-model", MODEL, "--items", items]
    kept = 0
    for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        before = len(server.requests)
        process = subprocess.Popen(
            [sys.executable, "-m", "rabbit_ko.cli", *arguments],
            env=environment(PYTHONPATH=str(ROOT)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while len(server.requests) < before + 30:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, number)
        out, error = process.communicate(timeout=60)
        assert (process.returncode, out) == (code, "")
        assert "Traceback" not in error
        assert len(lines_that_are_whole()) > kept
        kept = len(lines_that_are_whole())
    server.requests.clear()
    check(server, "--items", items)
    assert len(server.requests) == WANTED - kept


def lines_that_are_whole() -> list[str]:
    """The lines of the journals that hold a reply."""
    texts = [file.read_text(errors="replace") for file in FOLDER.glob("*.jsonl")]
    return [line for text in texts for line in text.split("\n") if line.startswith("{") and line.endswith("}")]
