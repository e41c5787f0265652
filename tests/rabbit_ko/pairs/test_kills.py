"""After any number of kills the folder is that of a run that was never killed; nothing is asked for twice."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rabbit_ko.evaluation.journal import records
from tests.interruptions import Killer
from tests.rabbit_ko.evaluation.judge_server import Judge, Reply, Request
from tests.rabbit_ko.pairs.making import FOLDER, answer, content, endpoint, make, scores, write_config

pytestmark = pytest.mark.usefixtures("recipe")
KILLS = 10


def killed(action: Callable[[], object], number: int) -> bool:
    """Run an action in a process that is killed before its nth change to files; tell whether it came so far."""
    if not (pid := os.fork()):
        code = 1
        try:
            Killer(number).is_armed = True
            action()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def tear(journal: Path, bytes_left: int) -> None:
    """Leave of the last line what a kill within the write would have left."""
    lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
    if lines and lines[-1].endswith(b"\n"):
        journal.write_bytes(b"".join(lines[:-1]) + lines[-1][: min(bytes_left, len(lines[-1]) - 1)])


@pytest.mark.parametrize("seed", range(3))
def test_after_ten_kills_of_sampling_the_folder_is_as_if_there_had_been_none(seed: int) -> None:
    make()
    whole = content()
    shutil.rmtree(FOLDER)
    draw, kills = random.Random(seed), 0
    while kills < KILLS:
        kills += killed(make, number=draw.randint(1, 14))
        if draw.random() < 0.5:
            tear(FOLDER / "answers.jsonl", draw.randint(0, 200))
        if (FOLDER / "pairs.json").exists():
            shutil.rmtree(FOLDER)
    make()
    assert content() == whole


@pytest.mark.slow
def test_a_kill_before_any_change_to_a_file_leaves_what_the_next_run_completes() -> None:
    make()
    whole, answers = content(), (FOLDER / "answers.jsonl").read_bytes()
    for number in range(1, 100, 2):
        shutil.rmtree(FOLDER)
        FOLDER.mkdir()
        # All but the last answers are there, so that the kills fall on what comes after them, too.
        (FOLDER / "answers.jsonl").write_bytes(b"".join(answers.splitlines(keepends=True)[:-2]))
        was_killed = killed(make, number=number)
        make()
        assert content() == whole, number
        if not was_killed:
            return
    pytest.fail("it makes too many changes to be killed before each")


def test_after_ten_kills_no_request_whose_answer_was_recorded_is_sent_again(model: Judge, judge: Judge) -> None:
    write_config(judge={"rubric": {"verdicts": 2}})
    said: dict[str, str] = {}

    def slowly(rule: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
        def reply(request: Request) -> Reply:
            text = rule(request).text or ""
            said[repr(request.body)] = text
            return Reply(text, wait=0.01)

        return reply

    model.rule, judge.rule = slowly(answer), slowly(scores)

    def action() -> None:
        make(server=endpoint("MODEL", model), judge=endpoint("JUDGE", judge))

    draw, kills = random.Random(1), 0
    paid: set[str] = set()
    while kills < KILLS:
        before = len(model.requests), len(judge.requests)
        kills += killed(action, number=draw.randint(8, 16))
        for server, start in zip((model, judge), before, strict=True):
            assert not paid & {said[repr(request.body)] for request in server.requests[start:]}
        journals = [FOLDER / "answers.jsonl", FOLDER / "verdicts.jsonl"]
        paid = {record["text"] for journal in journals for record in records(journal, text=str)}
        assert not (FOLDER / "pairs.json").exists()
    before = len(model.requests), len(judge.requests)
    action()
    for server, start in zip((model, judge), before, strict=True):
        assert not paid & {said[repr(request.body)] for request in server.requests[start:]}
    assert len({repr(request.body) for request in model.requests}) == 48
    assert (FOLDER / "verdicts.jsonl").read_bytes().count(b"\n") == 96
