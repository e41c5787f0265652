"""One attempt at a run: the checkpoint that it resumes from, and those that it writes."""

import shutil
from pathlib import Path
from time import monotonic
from typing import Any

import torch.distributed
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.random import fork_rng
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from axolotl_plugins.log import LOG
from axolotl_plugins.resume.checkpoints import (
    CHECKSUMS,
    PREFIX,
    STATE_FILE,
    Checkpoint,
    OtherRun,
    find_checkpoint,
    mark_complete,
    remove_all,
)
from axolotl_plugins.resume.identity import Identity
from rabbit_ko.errors import UserError
from rabbit_ko.recipes import RUN_FILE

METRICS = "tensorboard"


def resume(cfg: Any, identity: Identity) -> float:
    """Let an interrupted run resume from its last complete checkpoint; return the seconds that it had taken.

    The first process decides for all. A run that has ended starts afresh, and so does one with `guard_fresh`. Raises
    UserError where the checkpoints are of another run, or where a machine cannot read the one to use.
    """
    if cfg.resume_from_checkpoint:
        return 0.0
    decided = [_decide(cfg, identity) if PartialState().is_main_process else None]
    broadcast_object_list(decided)
    found = decided[0]
    if isinstance(found, OtherRun):
        raise UserError(f"{found}; to start afresh, give make FRESH=1, or axolotl --guard-fresh=true")
    if found is None:
        return 0.0
    if not (found.folder / CHECKSUMS).exists():
        raise UserError(f"{found.folder}: not on this machine; to resume, all need one file system for output_dir")
    LOG.info("resuming from %s", found.folder)
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


def unmark_finished(output: Path) -> None:
    """Remove what says that a run has ended, and how."""
    for name in (RUN_FILE, STATE_FILE):
        (output / name).unlink(missing_ok=True)


def prepare_trainer(trainer: Any, is_resumed: bool) -> None:
    """Take away what would differ between attempts at one run, or hide how it fares."""
    # Otherwise a loss that is no number is logged as the average of those before it.
    trainer.args.logging_nan_inf_filter = False
    # Axolotl evaluates before the first step, which for a resumed run is long past.
    trainer.args.eval_on_start = trainer.args.eval_on_start and not is_resumed
    # It takes a random number, and a run that resumes from the checkpoint at an epoch's end skips that epoch's.
    trainer.evaluate = fork_rng(devices=[])(trainer.evaluate)
    for kind in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(kind)
    for callback in trainer.callback_handler.callbacks:
        # Its own name for the folder would change with every attempt.
        if type(callback).__name__ == "TensorBoardCallback" and callback.logging_dir is None:
            callback.logging_dir = str(Path(trainer.args.output_dir) / METRICS)


class MarkComplete(TrainerCallback):
    """Marks each checkpoint as complete when all processes have written their part of it."""

    def __init__(self, identity: Identity, seconds_before: float) -> None:
        self.identity = identity
        self.begun = monotonic() - seconds_before

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint that was just written."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
            mark_complete(folder, self.identity, monotonic() - self.begun)


class KeepIntervals(TrainerCallback):
    """Lets a resumed run log and save as often as it says now; a checkpoint brings its own intervals."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Put the run's own intervals in the place of the checkpoint's."""
        state.compute_steps(args, state.max_steps)
