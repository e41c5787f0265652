"""A run that is killed, however often and wherever, ends with the bytes of the run that was not."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from axolotl_plugins.resume.checkpoints import STATE_FILE
from rabbit_ko.documents import read_record
from rabbit_ko.hashing import file_digest
from rabbit_ko.run_record import CHECKSUMS, ModelRecord, check_files
from tests.attempts import attempt, finish, kill_after, kill_after_a_step, steps, variant
from tests.conftest import VENV, environment, run

pytestmark = pytest.mark.slow

KILLS = 5
# A checkpoint after every step, so that many a kill hits the writing of one; dropout, which takes random numbers; and
# a learning rate that is not zero at the end, so that a step too many would show.
OPTIONS: dict[str, Any] = {
    **{"save_steps": 1, "logging_steps": 2, "max_steps": 18},
    **{"lora_dropout": 0.1, "cosine_min_lr_ratio": 0.1},
}
# The same for methods of preferences, which have no dropout.
PREFERRING: dict[str, Any] = {**OPTIONS, "lora_dropout": 0.0}
SHORT: dict[str, Any] = {**PREFERRING, "max_steps": 6}
# In the middle of the first epoch, at its end, and in the middle of the second.
PACKED_KILLS = (7, 14, 21)
PACKED: dict[str, Any] = {
    **{**OPTIONS, "save_steps": 7, "logging_steps": 7, "max_steps": 27},
    **{"sample_packing": True, "micro_batch_size": 1, "gradient_accumulation_steps": 2},
}


def adapter(folder: Path) -> str:
    """The hash of a run's adapter."""
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def test_a_packed_run_that_is_killed_in_each_epoch_ends_with_the_bytes_of_one_that_is_not(started: Path) -> None:
    log = started / "packed.log"
    whole, killed = (f"runs/packed-{name}" for name in ("whole", "killed"))
    assert finish(attempt(started, variant(started, "sft", whole), log, **PACKED)) == 0, log.read_text()[-4000:]
    for step in PACKED_KILLS:
        process = attempt(started, variant(started, "sft", killed), log, **PACKED)
        kill_after(process, (started / killed / f"checkpoint-{step}" / CHECKSUMS).exists)
    assert finish(attempt(started, variant(started, "sft", killed), log, **PACKED)) == 0, log.read_text()[-4000:]
    assert all(f"resuming from {killed}/checkpoint-{step}\n" in log.read_text() for step in PACKED_KILLS)
    assert adapter(started / killed) == adapter(started / whole)

    history = json.loads((started / whole / STATE_FILE).read_text())["log_history"]
    assert {entry["step"]: entry["epoch"] for entry in history if "loss" in entry} == {7: 0.5, 14: 1.0, 21: 1.5}


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_run_that_is_killed_ends_with_the_bytes_of_one_that_is_not(started: Path, stage: str) -> None:
    log, chance, options = started / f"{stage}.log", random.Random(stage), OPTIONS if stage == "sft" else PREFERRING
    whole, killed = (f"runs/{stage}-{name}" for name in ("whole", "killed"))
    folder = started / killed
    assert finish(attempt(started, variant(started, stage, whole), log, **options)) == 0, log.read_text()[-4000:]
    for kill in range(KILLS):
        process = attempt(started, variant(started, stage, killed), log, **options)
        kill_after_a_step(process, folder, 0 if kill % 2 else chance.uniform(0, 0.5))
        assert not (folder / "run.json").exists()
    assert list(folder.glob("damaged-checkpoint-*"))
    assert max(steps(folder)) < options["max_steps"]

    assert finish(attempt(started, variant(started, stage, killed), log, **options)) == 0, log.read_text()[-4000:]
    assert f"resuming from {killed}/checkpoint-" in log.read_text()
    assert adapter(folder) == adapter(started / whole)

    # As if it had been killed while it saved what it had learnt.
    (folder / "run.json").unlink()
    (folder / "adapter_model.safetensors").write_bytes(b"half of it")
    assert finish(attempt(started, variant(started, stage, killed), log, **options)) == 0, log.read_text()[-4000:]
    assert adapter(folder) == adapter(started / whole)


@pytest.mark.parametrize("stage", ["orpo", "simpo", "kto"])
def test_a_run_of_another_method_that_is_killed_ends_with_the_bytes_of_one_that_is_not(
    started: Path, stage: str
) -> None:
    log = started / f"{stage}.log"
    whole, killed = (f"runs/{stage}-{name}" for name in ("whole", "killed"))
    assert finish(attempt(started, variant(started, stage, whole), log, **SHORT)) == 0, log.read_text()[-4000:]
    process = attempt(started, variant(started, stage, killed), log, **SHORT)
    kill_after(process, (started / killed / "checkpoint-3" / CHECKSUMS).exists)
    assert max(steps(started / killed)) < SHORT["max_steps"]
    assert finish(attempt(started, variant(started, stage, killed), log, **SHORT)) == 0, log.read_text()[-4000:]
    assert f"resuming from {killed}/checkpoint-" in log.read_text()
    assert adapter(started / killed) == adapter(started / whole)


def test_a_run_that_has_changed_is_refused_in_a_line_and_starts_afresh_where_that_is_asked(started: Path) -> None:
    log, output = started / "changed.log", "runs/sft-changed"
    short, config = {**OPTIONS, "max_steps": 3}, variant(started, "sft", output)
    assert finish(attempt(started, config, log, **short)) == 0, log.read_text()[-4000:]
    (started / output / "run.json").unlink()

    assert finish(attempt(started, config, log, learning_rate=1e-3, **short)) == 1
    assert log.read_text().splitlines()[-1] == (
        f"{config}: {output}/checkpoint-2 is of a run in which learning_rate was 0.006, not "
        "0.001; to start afresh, give make FRESH=1, or axolotl --guard-fresh=true"
    )
    afresh = {**short, "learning_rate": 1e-3, "guard_fresh": True}
    assert finish(attempt(started, config, log, **afresh)) == 0, log.read_text()[-4000:]
    assert f"{output}: starting afresh" in log.read_text()


def test_a_merge_that_is_killed_between_its_last_files_is_made_anew_with_the_same_bytes(started: Path) -> None:
    merged, command = started / "runs/smoke/sft/merged", [str(VENV / "bin/python"), "-m", "rabbit_ko.cli", "merge"]
    before, quiet = file_digest(merged / "model.safetensors"), subprocess.DEVNULL
    names = sorted(file.name for file in merged.iterdir())
    shutil.rmtree(merged)
    options: dict[str, Any] = {
        "cwd": started,
        "env": environment(PYTHONPATH=str(started)),
        "stdout": quiet,
        "stderr": quiet,
    }
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        while process.poll() is None and not (merged / "tokenizer_config.json").exists():
            time.sleep(0.0005)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (merged / CHECKSUMS).exists()
    # Written last; the signal may come just after it, where a machine is busy.
    (merged / "tokenizer.json").unlink(missing_ok=True)
    run(started, *command)
    assert file_digest(merged / "model.safetensors") == before
    assert sorted(file.name for file in merged.iterdir()) == names
    check_files(merged, read_record(ModelRecord, merged / CHECKSUMS, ""))
