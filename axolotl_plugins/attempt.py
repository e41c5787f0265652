"""One attempt at a run: what it goes on from, and what is on the watch while the trainer runs."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.random import fork_rng
from transformers import PrinterCallback, ProgressCallback

from axolotl_plugins.callbacks import KeepIntervals, SealCheckpoints, StopWhenLost
from axolotl_plugins.checkpoints import (
    SEAL,
    STATE_FILE,
    Checkpoint,
    OtherRun,
    find_checkpoint,
    remove_all,
)
from axolotl_plugins.log import LOG
from axolotl_plugins.progress import Progress
from axolotl_plugins.resume.identity import Identity
from rabbit_ko.recipes import RUN_FILE

METRICS = "tensorboard"


def go_on(cfg: Any, identity: Identity) -> float:
    """Let a run that was interrupted go on from its last whole checkpoint; return the seconds that it had taken.

    The first process decides for all. A run that has ended starts afresh, and so does one with `guard_fresh`. Raises
    ValueError with one line where the checkpoints are of another run, or where a machine cannot read the one to use.
    """
    if cfg.resume_from_checkpoint:
        return 0.0
    decided = [_decide(cfg, identity) if PartialState().is_main_process else None]
    broadcast_object_list(decided)
    found = decided[0]
    if isinstance(found, OtherRun):
        raise ValueError(f"{found}; to start afresh, give make FRESH=1, or axolotl --guard-fresh=true")
    if found is None:
        return 0.0
    if not (found.folder / SEAL).exists():
        raise ValueError(f"{found.folder}: not on this machine; to go on, all need one file system for output_dir")
    LOG.info("going on from %s", found.folder)
    cfg.resume_from_checkpoint = str(found.folder)
    return found.seconds


def _decide(cfg: Any, identity: Identity) -> Checkpoint | OtherRun | None:
    output = Path(cfg.output_dir)
    is_finished = (output / RUN_FILE).exists()
    if (is_finished or cfg.guard_fresh) and (removed := remove_all(output)):
        what = "a finished run" if is_finished else "starting afresh"
        LOG.info("%s: %s; its %d checkpoints are removed", output, what, removed)
    try:
        found = find_checkpoint(output, identity, LOG.warning)
    except OtherRun as other:
        return other
    if found is None:
        shutil.rmtree(output / METRICS, ignore_errors=True)
    return found


def take_marks_away(output: Path) -> None:
    """Remove what says that a run has ended, and how."""
    for name in (RUN_FILE, STATE_FILE):
        (output / name).unlink(missing_ok=True)


def watch(
    trainer: Any, identity: Identity, seconds_before: float, is_resumed: bool, stop: Callable[[str], None]
) -> list[Any]:
    """Set a trainer up to show its progress, and return callbacks that seal checkpoints and stop a lost run."""
    # Otherwise a loss that is no number is logged as the average of those before it.
    trainer.args.logging_nan_inf_filter = False
    # Axolotl evaluates before the first step, which for a run that goes on is long past.
    trainer.args.eval_on_start = trainer.args.eval_on_start and not is_resumed
    # It takes a random number, and a run that goes on from the checkpoint at an epoch's end leaves that epoch's out.
    trainer.evaluate = fork_rng(devices=[])(trainer.evaluate)
    for kind in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(kind)
    handler = trainer.callback_handler
    for callback in handler.callbacks:
        # Its own name for the folder would change with every attempt.
        if type(callback).__name__ == "TensorBoardCallback" and callback.logging_dir is None:
            callback.logging_dir = str(Path(trainer.args.output_dir) / METRICS)
    # The first, so that those that report to somewhere get its figures, too.
    handler.callbacks.insert(0, Progress(LOG.info))
    return [KeepIntervals(), SealCheckpoints(identity, seconds_before), StopWhenLost(stop)]
