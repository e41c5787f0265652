"""What happens while the trainer runs: whole checkpoints are sealed, and a run that has gone wrong is stopped."""

import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from transformers import TrainerCallback

from axolotl_plugins.checkpoints import PREFIX, STATE_FILE, seal
from axolotl_plugins.resume.identity import Identity

DIVERGED, PATIENCE = 3.0, 5
# The last one is the average over all steps, also over those after the last log.
WATCHED = ("loss", "eval_loss", "grad_norm", "train_loss")
ADVICE = "lower learning_rate or lengthen the warmup, and start afresh with FRESH=1"


class SealCheckpoints(TrainerCallback):
    """Seals each checkpoint when all processes have written their part of it."""

    def __init__(self, identity: Identity, seconds_before: float) -> None:
        self.identity = identity
        self.begun = monotonic() - seconds_before

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal the checkpoint that was just written."""
        import torch.distributed

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
            seal(folder, self.identity, monotonic() - self.begun)


class KeepIntervals(TrainerCallback):
    """Lets a run that goes on log and save as often as it says now; a checkpoint brings its own intervals."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Put the run's own intervals in the place of the checkpoint's."""
        state.compute_steps(args, state.max_steps)


class StopWhenLost(TrainerCallback):
    """Stops a run whose loss is no number, or has long been above what it began with and far above its best."""

    def __init__(self, stop: Callable[[str], None]) -> None:
        self.stop = stop

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at the losses that have been logged, those before a kill too."""
        losses = [float(entry["loss"]) for entry in state.log_history if "loss" in entry]
        if (lost := what_is_no_number(state.log_history[-1]) or why_lost(losses)) is None:
            return
        if state.is_world_process_zero:
            state.save_to_json(str(Path(args.output_dir) / STATE_FILE))
        self.stop(f"{lost}, at step {state.global_step}; {ADVICE}")


def what_is_no_number(log: dict[str, Any]) -> str | None:
    """Return which figure of a log is no number where it has to be one, or None."""
    for name in WATCHED:
        value = log.get(name)
        if value is not None and not math.isfinite(float(value)):
            return f"{name} is {float(value)}"
    return None


def why_lost(losses: list[float]) -> str | None:
    """Return why there is no use in going on after these losses, or None.

    A falling DPO loss can come so near to zero that three times its best is still very good.
    """
    if not losses:
        return None
    best = min(losses)
    limit = max(DIVERGED * best, losses[0])
    if len(losses) <= PATIENCE or min(losses[-PATIENCE:]) <= limit:
        return None
    return f"the loss has been above {limit:.3g} in the last {PATIENCE} logs, and its best was {best:.3g}"
