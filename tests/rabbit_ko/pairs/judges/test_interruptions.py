"""After kills at any moment nothing that was judged is lost, and none of it is asked for again."""

import os
import signal
import time
from random import Random

import openai  # noqa: F401  # so that none of the processes that are killed imports it anew
import pytest

from tests.rabbit_ko.evaluation.judge_server import Judge, Reply, Request
from tests.rabbit_ko.pairs.judges.cases import JOURNAL, TEXTS, case, judged, rubric_judge, shown

KILLS, CONCURRENCY = 10, 4


def rule(request: Request) -> Reply:
    """Take some time, and say what depends on all that was asked, now and then what cannot be read."""
    sizes = [*map(len, shown(request))]
    if (len(request.text) + sizes[0]) % 5 == 0 and "읽을 수 없었습니다" not in request.text:
        return Reply("모르겠습니다.", wait=0.01)
    return Reply(f"평가: 좋습니다.\n더 나은 답변: {'AB'[sizes[0] < sizes[1]]}", wait=0.01)


def asked(request: Request) -> tuple[str, tuple[str, ...], bool]:
    """What tells a request from others."""
    return request.text.partition("번 나라")[0][-3:], tuple(shown(request)), "읽을 수 없었습니다" in request.text


@pytest.mark.hostile
def test_ten_kills_lose_nothing_and_nothing_that_was_kept_is_asked_for_again(server: Judge) -> None:
    server.rule = rule
    cases = [case(number) for number in range(12)]
    draw, sent = Random(1), list[Request]()
    for _ in range(KILLS):
        kept, before = len(lines_that_are_whole()), len(server.requests)
        if not (child := os.fork()):
            try:
                judged(rubric_judge(server, "pairwise", concurrency=CONCURRENCY), cases)
            finally:
                os._exit(1)
        wait_for_requests(server, before + 1)
        time.sleep(draw.uniform(0, 0.04))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        with JOURNAL.open("ab") as file:
            file.write('{"key": "찢어진'.encode()[:-1])
        assert kept <= len(lines_that_are_whole()) <= kept + len(server.requests) - before
        sent = server.requests[:]
    kept = len(lines_that_are_whole())
    found = judged(rubric_judge(server, "pairwise", concurrency=CONCURRENCY), cases)
    replies = len(lines_that_are_whole())
    assert 0 < kept < replies
    assert len(server.requests) - len(sent) == replies - kept
    assert len({*map(asked, server.requests)}) == replies
    # What was under way at a kill came to nobody.
    assert len(server.requests) <= replies + KILLS * CONCURRENCY
    JOURNAL.rename("of_the_killed.jsonl")
    assert judged(rubric_judge(server, "pairwise"), cases) == found
    assert len(found[0].scores) == len(TEXTS)


def wait_for_requests(server: Judge, number: int) -> None:
    """Wait until so many requests have come."""
    deadline = time.monotonic() + 300
    while len(server.requests) < number:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def lines_that_are_whole() -> list[bytes]:
    """The lines of the journal that hold a reply."""
    content = JOURNAL.read_bytes() if JOURNAL.exists() else b""
    return [line for line in content.split(b"\n") if line.startswith(b"{") and line.endswith(b"}")]
