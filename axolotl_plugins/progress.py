"""What is seen of a run: a line for each log, with what is still to come, and the end of a run that is lost."""

import math
import resource
import sys
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from transformers import TrainerCallback

from axolotl_plugins.resume.checkpoints import STATE_FILE

TOKENS_PER_SECOND, PEAK_MEMORY = "tokens_per_second", "peak_memory_gib"
# Axolotl's counter in SFT, of padding too, and TRL's in DPO.
COUNTERS = ("tokens/total", "num_tokens")
SHOWN = {
    "loss": "loss {:.4g}",
    "eval_loss": "eval_loss {:.4g}",
    "rewards/margins": "margin {:.3g}",
    "rewards/accuracies": "accuracy {:.3g}",
    "eval_rewards/margins": "margin {:.3g}",
    "eval_rewards/accuracies": "accuracy {:.3g}",
    TOKENS_PER_SECOND: "{:,.0f} tokens/s",
    PEAK_MEMORY: "{:.3g} GiB",
}
DIVERGED, PATIENCE = 3.0, 5
# The last one is the average over all steps, also over those after the last log.
WATCHED = ("loss", "eval_loss", "grad_norm", "train_loss")
ADVICE = "lower learning_rate or lengthen the warmup, and start afresh with FRESH=1"


class Progress(TrainerCallback):
    """Adds throughput and memory to what is logged, and says how far the run is.

    Transformers' own bar counts the steps before a kill as made by this attempt, and ignores evaluations.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.mark = monotonic()
        self.steps: deque[float] = deque(maxlen=100)
        self.counted: float | None = None
        self.seconds = 0.0
        self.is_warm = False

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self.mark = monotonic()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Keep the evaluation out of the next step's time."""
        self.mark = monotonic()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Take the step's time, with that of its data and of a checkpoint before it; the first one warms up."""
        now = monotonic()
        if self.is_warm:
            self.steps.append(now - self.mark)
        self.seconds += now - self.mark
        self.is_warm, self.mark = True, now

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Complete what is logged, in the trainer's state too, and show it."""
        logs = {} if logs is None else logs
        if "loss" in logs:
            figures = {**self._tokens_per_second(logs), PEAK_MEMORY: round(peak_memory(), 3)}
            logs.update(figures)
            state.log_history[-1].update(figures)
        if state.is_world_process_zero and not logs.keys().isdisjoint({"loss", "eval_loss"}):
            self.say(line(state.global_step, state.max_steps, logs, self._seconds_left(args, state)))

    def _tokens_per_second(self, logs: dict[str, Any]) -> dict[str, float]:
        counted = next((float(logs[name]) for name in COUNTERS if name in logs), None)
        before, seconds = self.counted, self.seconds
        self.counted, self.seconds = counted, 0.0
        if counted is None or before is None or not seconds:
            return {}
        return {TOKENS_PER_SECOND: round((counted - before) / seconds, 1)}

    def _seconds_left(self, args: Any, state: Any) -> float | None:
        if not self.steps:
            return None
        # The first one warms up, too.
        evaluation = min((log["eval_runtime"] for log in state.log_history if "eval_runtime" in log), default=0.0)
        pace = sum(self.steps) / len(self.steps)
        return float(pace * (state.max_steps - state.global_step) + evaluation * evaluations_left(args, state))


def line(step: int, steps: int, logs: dict[str, Any], seconds_left: float | None) -> str:
    """Return what is shown of a log."""
    shown = [text.format(float(logs[name])) for name, text in SHOWN.items() if name in logs]
    if seconds_left is not None and "loss" in logs:
        shown.append(f"{timedelta(seconds=round(seconds_left))} left")
    return f"step {step} of {steps}: {', '.join(shown)}"


def evaluations_left(args: Any, state: Any) -> int:
    """Return how many evaluations are still to come."""
    if args.eval_strategy == "steps":
        return int(state.max_steps // state.eval_steps - state.global_step // state.eval_steps)
    if args.eval_strategy == "epoch":
        return int(state.num_train_epochs) - math.floor(state.epoch or 0)
    return 0


def peak_memory() -> float:
    """Return the most GiB that the GPU has held, or, without one, this process."""
    peak = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else peak_of_process()
    return float(peak) / (1 << 30)


def peak_of_process() -> int:
    """Return the most bytes of memory that this process has held."""
    # In kilobytes, on macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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
    figures = {name: float(log[name]) for name in WATCHED if log.get(name) is not None}
    return next((f"{name} is {value}" for name, value in figures.items() if not math.isfinite(value)), None)


def why_lost(losses: list[float]) -> str | None:
    """Return why there is no use in training further after these losses, or None.

    A falling DPO loss can come so near to zero that three times its best is still very good.
    """
    if len(losses) <= PATIENCE:
        return None
    best = min(losses)
    bound = max(DIVERGED * best, losses[0])
    if min(losses[-PATIENCE:]) <= bound:
        return None
    return f"the loss has been above {bound:.3g} in the last {PATIENCE} logs, and its best was {best:.3g}"
