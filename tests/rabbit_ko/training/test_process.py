"""What of a process's output reaches the terminal, what the log holds, and which line says why it failed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.training.process import run_logged

OWN = "[2026-11-25 18:39:36,874] [INFO] [axolotl.guard] "
DROPPED = "[2026-11-25 18:39:36,874] [WARNING] [prompt_strategies.tokens] of 9 rows, 1 dropped: too long"


def printing(*lines: str, code: int = 0) -> list[str]:
    """A command that prints lines."""
    script = f"print({chr(10).join(lines)!r}, flush=True); raise SystemExit({code})"
    return [sys.executable, "-c", script]


def test_only_what_this_project_says_reaches_the_terminal_and_all_of_it_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        "noise",
        f"{OWN}train: 9 of 9 rows",
        DROPPED,
        "[x] [INFO] [axolotl.train] noise",
        f"{OWN}train: 9 of 9 rows",
    ]
    run_logged(printing(*lines), tmp_path / "runs/log.txt", "training")
    shown = [f"training; its log is {tmp_path}/runs/log.txt", "train: 9 of 9 rows", "of 9 rows, 1 dropped: too long"]
    assert capsys.readouterr().out.splitlines() == shown
    assert (tmp_path / "runs/log.txt").read_text() == "\n".join(lines) + "\n"
    run_logged(printing("more"), tmp_path / "runs/log.txt", "training")
    assert (tmp_path / "runs/log.txt").read_text().endswith("\nmore\n")


def test_progress_is_a_line_for_each_tenth_and_each_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [f"{OWN}step {step} of 1000: loss 1.0, 0:00:01 left" for step in range(1, 1001)]
    run_logged(printing(*steps, f"{OWN}step 1000 of 1000: eval_loss 2.0"), tmp_path / "log.txt", "training")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 13
    assert shown[-1] == "step 1000 of 1000: eval_loss 2.0"


REFUSED = "axolotl_configs/smoke/sft.yaml: num_epoch: unknown key; did you mean `num_epochs`?"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([REFUSED, "Traceback ...", "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: x"], REFUSED),
        (
            ["Traceback", "torch.OutOfMemoryError: CUDA out of memory", "done"],
            "torch.OutOfMemoryError: CUDA out of memory",
        ),
        (["error: runs/x: No space left on device"], "runs/x: No space left on device"),
        (
            ["OSError: [Errno 28] No space left on device: 'x'", "ValueError: x"],
            "the disk is full (ValueError: x); free some (`rabbit doctor` counts), and run the same command again",
        ),
        (["W&B: No space left on device", "ValueError: x"], "ValueError: x"),
        (
            ["[rank1]: torch.OutOfMemoryError: x", "torch.distributed.elastic.x.ChildFailedError: "],
            "torch.OutOfMemoryError: x",
        ),
        (
            ["[rank0]: OSError: [Errno 28] No space left on device: 'x'"],
            "the disk is full (OSError: [Errno 28] No space left on device: 'x'); "
            "free some (`rabbit doctor` counts), and run the same command again",
        ),
        (["nothing that helps"], "exit code 3"),
    ],
)
def test_a_failure_is_the_line_that_says_why_and_where_the_log_is(
    tmp_path: Path, lines: list[str], said: str
) -> None:
    with pytest.raises(UserError) as failed:
        run_logged(printing(*lines, code=3), tmp_path / "log.txt", "training")
    assert str(failed.value) == f"{said}; its log is {tmp_path / 'log.txt'}"


def test_a_disk_that_fills_while_torch_saves_is_one_line(tmp_path: Path) -> None:
    saving = "import torch; torch.save({'state': torch.zeros(1_000_000)}, '/dev/full')"
    with pytest.raises(UserError, match=r"^the disk is full \(RuntimeError: .*\); free some") as failed:
        run_logged([sys.executable, "-c", saving], tmp_path / "log.txt", "training")
    assert len(str(failed.value).splitlines()) == 1


def test_debug_shows_everything(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_logged(printing("noise"), tmp_path / "log.txt", "training", debug=True)
    assert capfd.readouterr().out == "noise\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_the_process_which_ends_by_itself(tmp_path: Path, number: signal.Signals) -> None:
    child = (
        "import pathlib, signal, sys, time\n"
        "for n in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(n, lambda *_: sys.exit(pathlib.Path('ended').write_text('by itself') and 1))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    parent = (
        "import signal, sys\nfrom pathlib import Path\nfrom rabbit_ko.training.process import run_logged\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"run_logged([sys.executable, '-c', {child!r}], Path('log.txt'), 'training')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not (tmp_path / "log.txt").exists() or "ready" not in (tmp_path / "log.txt").read_text():
            time.sleep(0.05)
        if number is signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.wait(120)
    assert (tmp_path / "ended").read_text() == "by itself"
