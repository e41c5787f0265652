"""A run that is killed, however often and wherever, ends with the bytes of the run that was not."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.measure import tree
from tests.conftest import VENV, copy_project, environment, run

pytestmark = pytest.mark.slow

KILLS = 5
IS_OLD = "--assume-old=.venv/.ready"
# A checkpoint after every step, so that many a kill hits the writing of one.
OFTEN = "ARGS=--save-steps=1"


@pytest.fixture
def interrupted(project: Path, tmp_path: Path) -> Path:
    """The trained project again, to be trained once more."""
    copy_project(tmp_path)
    (tmp_path / ".venv").symlink_to(VENV)
    for folder in ("data", "runs"):
        shutil.copytree(project / folder, tmp_path / folder, symlinks=True)
    return tmp_path


def adapter(project: Path, stage: str) -> str:
    """The hash of a stage's adapter."""
    return hashlib.sha256((project / "runs/smoke" / stage / "adapter_model.safetensors").read_bytes()).hexdigest()


def steps(folder: Path) -> set[str]:
    """The names of the checkpoints."""
    return {path.name for path in folder.glob("checkpoint-*")}


def run_and_kill(project: Path, stage: str, seconds: float) -> None:
    """Run a stage, wait until it has made a step, and then some, and kill all of it."""
    folder = project / "runs/smoke" / stage
    before = steps(folder)
    with (project / "killed.log").open("wb") as log:
        process = subprocess.Popen(
            ("make", stage, IS_OLD, OFTEN),
            cwd=project,
            env=environment(PYTHONPATH=str(project)),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while process.poll() is None and not steps(folder) - before:
            time.sleep(0.02)
        time.sleep(seconds)
        for pid in tree(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_run_that_is_killed_ends_with_the_bytes_of_one_that_is_not(
    project: Path, interrupted: Path, stage: str
) -> None:
    folder = interrupted / "runs/smoke" / stage
    (folder / "run.json").unlink()
    shutil.rmtree(folder)
    if stage == "dpo":
        assert adapter(interrupted, "sft") == adapter(project, "sft")
    chance = random.Random(stage)
    for _ in range(KILLS):
        run_and_kill(interrupted, stage, chance.uniform(0, 1))
        assert not (folder / "run.json").exists()
    result = run(interrupted, "make", stage, IS_OLD, OFTEN)
    assert "going on from runs/smoke" in result.stdout + result.stderr
    assert adapter(interrupted, stage) == adapter(project, stage)


def test_a_run_that_has_changed_is_not_gone_on_with(interrupted: Path) -> None:
    folder = interrupted / "runs/smoke/sft"
    shutil.rmtree(folder)
    run_and_kill(interrupted, "sft", 0)
    changed = "ARGS=--save-steps=1 --learning-rate=1e-3"
    result = run(interrupted, "make", "sft", IS_OLD, changed, returns=2)
    [line] = [line for line in result.stderr.splitlines() if "is of a run in which" in line]
    assert "learning_rate was 0.006, not 0.001" in line
    assert "FRESH=1" in line
    run(interrupted, "make", "sft", IS_OLD, changed, "FRESH=1")
    assert (folder / "run.json").exists()
