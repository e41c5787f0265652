"""Attempts at a run, each in a process of its own that can be killed, forked from one that has axolotl loaded."""

import gc
import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context, set_start_method
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

FORKS = get_context("forkserver")
# These take most of the time of an attempt to import.
FORKS.set_forkserver_preload(
    [
        *("axolotl.cli.train", "axolotl.train", "axolotl.core.builders", "axolotl_plugins.guard", "deepspeed"),
        *("torch.utils.tensorboard", "transformers.models.llama.modeling_llama", "tests.attempts"),
    ]
)
PATIENCE = 900


def variant(project: Path, stage: str, output_dir: str) -> str:
    """Write a YAML of one's own for a stage of the smoke recipe, which differs in its folder; returns its path."""
    text = (project / f"axolotl_configs/smoke/{stage}.yaml").read_text(encoding="utf-8")
    config = project / f"{Path(output_dir).name}.yaml"
    config.write_text(text.replace(f"output_dir: runs/smoke/{stage}", f"output_dir: {output_dir}"), encoding="utf-8")
    return config.name


def attempt(project: Path, config: str, log: Path, **overrides: Any) -> ForkServerProcess:
    """Start what `axolotl train` does for a YAML of a project, and return its process."""
    process = FORKS.Process(target=train, args=(project, config, log, overrides))
    process.start()
    return process


def train(
    project: Path, config: str, log: Path, overrides: dict[str, Any], variables: Mapping[str, str] | None = None
) -> None:
    """Do what `axolotl train` does, in this process."""
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # Otherwise the workers that load data would be started by a server of their own, which imports all of it again.
    set_start_method("fork", force=True)
    gc.freeze()
    os.chdir(project)
    os.environ.update(AXOLOTL_DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", **(variables or {}))
    import torch
    from axolotl.cli.train import do_cli

    # As many as accelerate gives one process on a CPU.
    torch.set_num_threads(1)
    sys.argv = sys.argv[:1]
    do_cli(config, **overrides)


def finish(process: ForkServerProcess) -> int:
    """Wait for the end of an attempt, and return its exit code."""
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"an attempt took more than {PATIENCE} s")
    return process.exitcode


def steps(folder: Path) -> set[int]:
    """The steps of the checkpoints, complete or not, that a run's folder holds."""
    return {int(path.name.split("-")[-1]) for path in folder.glob("checkpoint-*")}


def kill_after_a_step(process: ForkServerProcess, folder: Path, seconds: float) -> None:
    """Kill an attempt so long after a new checkpoint's folder shows; at once is in the middle of its writing."""
    before = steps(folder)
    kill_after(process, lambda: bool(steps(folder) - before), seconds)


def kill_after(process: ForkServerProcess, happened: Callable[[], bool], seconds: float = 0) -> None:
    """Kill an attempt so long after something has happened."""
    start = time.monotonic()
    while process.is_alive() and not happened() and time.monotonic() - start < PATIENCE:
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()
