"""After a kill, an interruption or a full disk the next run resumes, and asks for nothing twice."""

import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rabbit_ko.evaluation.journal import locked, records
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.judge.cli import (
    ANSWERS,
    SAID_FIRST,
    VERDICTS,
    after,
    arguments,
    asked,
    lines,
    result_of,
    run,
    start,
)
from tests.rabbit_ko.evaluation.judge_server import Judge, Reply, verdict

ALL = 8
STOPPING = "stopping when the requests under way are answered; once more to stop now"


@pytest.fixture(autouse=True)
def _in_recipe(recipe: Path) -> None:
    """Run in a recipe's working directory."""


def wait_for_verdicts(number: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many verdicts are on disk."""
    deadline = time.monotonic() + 300
    while not VERDICTS.exists() or VERDICTS.read_bytes().count(b"\n") < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_after_a_kill_nothing_that_was_judged_is_asked_again(judge: Judge, model: Judge) -> None:
    judge.rule = after(3, Reply(wait=30))
    process = start(judge, model, "--concurrency", "4")
    wait_for_verdicts(3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with VERDICTS.open("ab") as file:
        file.write('{"key": "찢어진 줄'.encode()[:-1])
    paid = {request.text for request in judge.requests[:3]}
    judge.rule = verdict
    run(judge, model)
    assert {text: asked(judge)[text] for text in paid} == dict.fromkeys(paid, 1)
    assert len(asked(judge)) == ALL
    assert len(judge.requests) <= ALL + 4
    assert len(model.requests) == ALL
    assert {score.missing for score in result_of().scores} == {0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_under_way_at_an_interruption_is_kept(judge: Judge, model: Judge, number: signal.Signals) -> None:
    judge.rule = after(2, Reply("평가: 보통입니다.\n점수: 5", wait=3))
    process = start(judge, model, "--concurrency", "3")
    wait_for_verdicts(2, process)
    process.send_signal(number)
    output, error = process.communicate(timeout=120)
    assert (process.returncode, output) == (130, "")
    assert error.splitlines()[1:] == [STOPPING, "error: interrupted; the same command resumes from here"]
    assert len(lines(VERDICTS)) == len(judge.requests) < ALL
    judge.rule = verdict
    run(judge, model)
    assert len(lines(VERDICTS)) == len(judge.requests) == ALL


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_interruption_ends_at_once(
    judge: Judge, model: Judge, number: signal.Signals, exit_code: int
) -> None:
    judge.rule = after(2, Reply(wait=300))
    process = start(judge, model)
    wait_for_verdicts(2, process)
    process.send_signal(number)
    assert process.stderr
    assert SAID_FIRST.match(process.stderr.readline())
    assert process.stderr.readline() == f"{STOPPING}\n"
    process.send_signal(number)
    output, error = process.communicate(timeout=120)
    assert process.returncode == exit_code
    said = "error: interrupted; the same command resumes from here\n"
    assert (output, error) == ("", said if number == signal.SIGINT else "")
    judge.rule = verdict
    run(judge, model)
    assert len(lines(VERDICTS)) == ALL


def test_a_second_run_beside_the_first_says_so_and_asks_for_nothing(judge: Judge, model: Judge) -> None:
    with locked(ANSWERS.parent):
        assert "another run is at work here; wait for it" in run(judge, model, exit_code=1).stderr
    assert not model.requests
    run(judge, model)


def test_a_file_that_may_not_grow_is_one_line_and_nothing_is_lost(judge: Judge, model: Judge) -> None:
    def no_more_than_a_little() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))

    judge.rule = lambda request: Reply(f"평가: {'길' * 70_000}\n{verdict(request).text}")
    process = start(judge, model, "--concurrency", "1", preexec_fn=no_more_than_a_little)
    output, error = process.communicate(timeout=300)
    assert (process.returncode, output) == (1, "")
    assert error.partition("\n")[2] == (
        f"error: {VERDICTS}: File too large; what has come is kept, and the same command resumes from there\n"
    )
    paid = len(judge.requests)
    assert paid == 5
    judge.requests.clear()
    run(judge, model)
    assert len(judge.requests) == ALL - paid + 1


def test_on_a_full_disk_it_is_one_line_and_what_was_written_stays(judge: Judge, model: Judge) -> None:
    judge.rule = lambda request: Reply(f"평가: {'길' * 40_000}\n{verdict(request).text}", wait=0.05)
    program = [sys.executable, "-m", "rabbit_ko.cli"]
    command = shlex.join([*program, *arguments(judge, model, "--concurrency", "2")])
    disk = "mkdir -p runs/smoke/eval && mount -t tmpfs -o size=600k none runs/smoke/eval || exit 77"
    shell = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{disk}; {command}; cat {VERDICTS}"]
    done = subprocess.run(shell, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, timeout=300)
    first, _, error = done.stderr.decode().partition("\n")
    if done.returncode == 77 or "unshare: " in first:
        pytest.skip("no disk of its own can be mounted here")
    assert error.startswith(f"error: {VERDICTS}: No space left on device; what has come is kept, and the same")
    assert error.count("\n") == 1
    # The last line may be torn in the middle of a character.
    Path("kept.jsonl").write_bytes(done.stdout)
    assert 2 < len(judge.requests) < ALL
    assert 2 < len(list(records(Path("kept.jsonl")))) <= len(judge.requests)
