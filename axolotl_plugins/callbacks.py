"""What happens while the trainer runs: whole checkpoints are sealed, and a run that has gone wrong is stopped."""

import math
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from transformers import TrainerCallback

from axolotl_plugins.checkpoints import PREFIX, Identity, seal

DIVERGED, PATIENCE = 3.0, 5
ADVICE = "a lower learning_rate or a longer warmup may help"


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


class StopWhenLost(TrainerCallback):
    """Stops a run whose loss is no number, or has been far above its best for some logs in a row."""

    def __init__(self, stop: Callable[[str], None]) -> None:
        self.stop = stop
        self.best = math.inf
        self.above = 0

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Look at the loss that is logged."""
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        loss = float(loss)
        if not math.isfinite(loss):
            self.stop(f"the loss is {loss} at step {state.global_step}; {ADVICE}")
        self.best = min(self.best, loss)
        self.above = self.above + 1 if loss > DIVERGED * self.best else 0
        if self.above >= PATIENCE:
            self.stop(
                f"the loss has been more than {DIVERGED:g} times its best, {self.best:.3g}, for {PATIENCE} logs, at "
                f"step {state.global_step}; {ADVICE}"
            )
