"""Work in processes of this machine: when it starts, and what is left when a process is killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_builders.executor import run
from rabbit_ko.errors import UserError
from tests.conftest import environment
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import RABBIT, write_config, write_jsonl

FILES = 40
INTERRUPTED = "error: interrupted; the same command resumes from here"


def wait_until(is_so: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is so, and fail where it is not so in time."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_result_comes_once(workers: int) -> None:
    assert sorted(run(abs, [-number for number in range(50)], workers)) == list(range(50))
    assert run(abs, [], workers) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_task_raises_comes_out(workers: int, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        run(os.rmdir, [str(tmp_path / "none")] * 9, workers)
    assert caught.value.filename == str(tmp_path / "none")


def test_a_worker_that_is_killed_is_told_of_in_a_line() -> None:
    with pytest.raises(UserError, match="a worker process was killed") as caught:
        run(signal.raise_signal, [signal.SIGKILL] * 4, workers=2)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A build of so many chunks that it can be ended in the middle; `--out` is to be added."""
    folder = tmp_path_factory.mktemp("recipe")
    content = write_jsonl(folder / "rows" / "0.jsonl", exchanges(700)).read_bytes()
    for number in range(1, FILES):
        (folder / "rows" / f"{number}.jsonl").write_bytes(content)
    config = write_config(folder / "data.yaml", {"source": "koalpaca", "path": str(folder / "rows")})
    return [*RABBIT, "data", "--config", str(config), "--workers", "2", "--out"]


def start(command: list[str], out: Path) -> subprocess.Popen[str]:
    """Start a build as the leader of a group of processes."""
    return subprocess.Popen(
        [*command, str(out)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def alive(group: int) -> dict[int, int]:
    """The numbers of a group's processes, with their parents'; those that wait for their parent's notice dropped."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, its_group = path.read_text().rsplit(")", 1)[1].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state != "Z":
            found[int(path.parent.name)] = int(parent)
    return found


def is_at_work(out: Path) -> bool:
    """Whether a chunk is done."""
    return any(out.glob(".chunks/chunks/*/report.json"))


def workers_start(out: Path) -> bool:
    """Whether the build has begun, but not yet its workers."""
    return (out / ".chunks/lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "delay"), [(is_at_work, 0), *((workers_start, delay) for delay in (0, 0.2, 1))])
def test_ctrl_c_is_a_line_and_leaves_no_process(
    command: list[str], tmp_path: Path, moment: Callable[[Path], bool], delay: float
) -> None:
    process = start(command, tmp_path / "data")
    wait_until(lambda: moment(tmp_path / "data"))
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors.strip()) == (130, INTERRUPTED)
    assert not (tmp_path / "data/manifest.json").exists()
    wait_until(lambda: not alive(process.pid))


@pytest.mark.slow
def test_a_parent_that_is_killed_leaves_no_process(command: list[str], tmp_path: Path) -> None:
    process = start(command, tmp_path / "data")
    wait_until(lambda: is_at_work(tmp_path / "data"))
    assert len(alive(process.pid)) >= 4, "the build, two workers and what starts them"
    process.kill()
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not alive(process.pid))


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_command_with_a_line(command: list[str], tmp_path: Path) -> None:
    process = start(command, tmp_path / "data")
    wait_until(lambda: is_at_work(tmp_path / "data"))
    found = alive(process.pid)
    # What the build has started starts the workers.
    worker = next(pid for pid, parent in found.items() if parent in found and parent != process.pid)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.strip().startswith("error: a worker process was killed")
    assert "\n" not in errors.strip()
    wait_until(lambda: not alive(process.pid))
