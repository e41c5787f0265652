"""One attempt at a run: where it resumes from, its checkpoints, what is seen of it, and its end when it is lost."""

import math
import resource
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from axolotl.utils.logging import get_logger
from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from axolotl_plugins.resume.checkpoints import (
    PREFIX,
    STATE_FILE,
    all_checkpoints,
    find_checkpoint,
    mark_complete,
    remove_all,
)
from axolotl_plugins.resume.identity import Identity
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError
from rabbit_ko.recipes import RUN_FILE

T = TypeVar("T")
# Axolotl shows what its own loggers say.
LOG = get_logger("axolotl.guard")
# Those of preferences are TRL's means over the batches since the last line. SimPO logs a likelihood's loss of 0.
SHOWN = {
    "loss": "loss {:.4g}",
    "nll_loss": "likelihood {:.4g}",
    "log_odds_ratio": "log odds ratio {:.3g}",
    "kl": "KL {:.3g}",
    "rewards/margins": "margin {:.3g}",
    "rewards/accuracies": "accuracy {:.3g}",
    "tokens_per_second": "{:,.0f} tokens/s",
    "peak_memory_gib": "{:.3g} GiB",
}
PATIENCE = 5


def on_main_process(action: Callable[[], T]) -> T:
    """Return in every process what an action returns in the first one; a UserError of it is raised in all of them."""
    done: list[Any] = [None]
    if PartialState().is_main_process:
        try:
            done = [action()]
        except UserError as error:
            done = [error]
    broadcast_object_list(done)
    if isinstance(done[0], UserError):
        raise done[0]
    return cast("T", done[0])


def resume(cfg: Any, identity: Identity) -> float:
    """Let an interrupted run resume from its last complete checkpoint; return the seconds that it had taken."""
    if cfg.resume_from_checkpoint:
        return 0.0
    folder, seconds = on_main_process(lambda: _find_start(cfg, identity)) or (None, 0.0)
    if folder:
        LOG.info("resuming from %s", folder)
        cfg.resume_from_checkpoint = str(folder)
    return seconds


def _find_start(cfg: Any, identity: Identity) -> tuple[Path, float] | None:
    output = Path(cfg.output_dir)
    if ((output / RUN_FILE).exists() or cfg.guard_fresh) and (there := what_is_there(output)):
        LOG.info("%s: starting afresh; what is there goes: %s", output, there)
        remove_all(output)
    try:
        found = find_checkpoint(output, identity, LOG.warning)
    except UserError as error:
        raise UserError(f"{error}; to start afresh, give make FRESH=1, or axolotl --guard-fresh=true") from None
    if found is None:
        shutil.rmtree(output / "tensorboard", ignore_errors=True)
    return found


def what_is_there(output: Path) -> str:
    """Say what a new run in a folder replaces, such as `the model of 2026-11-25, 36 steps and 2 checkpoints`."""
    try:
        run = read_object(output / RUN_FILE)
        model = [f"the model of {str(run['ended'])[:10]}, {run['steps']} steps"]
    except (UserError, KeyError):
        model = []
    count = len(all_checkpoints(output))
    return " and ".join([*model, *([f"{count} checkpoint{'' if count == 1 else 's'}"] if count else [])])


def prepare_trainer(trainer: Any, is_resumed: bool) -> None:
    """Take away what would differ between attempts at one run, or hide how it fares."""
    # Otherwise a loss that is no number is logged as the average of those before it.
    trainer.args.logging_nan_inf_filter = False
    # Axolotl evaluates before the first step, which for a resumed run is long past.
    trainer.args.eval_on_start = trainer.args.eval_on_start and not is_resumed
    # It takes a random number, and a run that resumes from the checkpoint at an epoch's end skips that epoch's.
    trainer.evaluate = torch.random.fork_rng(devices=[])(trainer.evaluate)
    for kind in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(kind)
    for callback in trainer.callback_handler.callbacks:
        # Its own name for the folder would change with every attempt.
        if type(callback).__name__ == "TensorBoardCallback" and callback.logging_dir is None:
            callback.logging_dir = str(Path(trainer.args.output_dir) / "tensorboard")


class Checkpoints(TrainerCallback):
    """Marks each checkpoint as complete when all processes have written their part of it."""

    def __init__(self, identity: Identity, seconds_before: float) -> None:
        self.identity = identity
        self.begun = monotonic() - seconds_before

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let a resumed run log and save as often as it says now; a checkpoint brings its own intervals."""
        state.compute_steps(args, state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint that was just written."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()
        # From one that leaves no step to take, transformers would take one step more than there are.
        if state.is_world_process_zero and state.global_step < state.max_steps:
            folder = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
            mark_complete(folder, self.identity, monotonic() - self.begun)


class Progress(TrainerCallback):
    """Adds throughput and memory to what is logged, and says how far the run is."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.mark = monotonic()
        self.steps: list[float] = []
        self.logged = 0
        self.counted: float | None = None

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self.mark = monotonic()

    # An evaluation is no part of the next step's time.
    on_evaluate = on_train_begin

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Take the step's time, with that of its data and of a checkpoint before it."""
        now = monotonic()
        self.steps.append(now - self.mark)
        self.mark = now

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Complete what is logged, in the trainer's state too, and show it."""
        if "loss" in logs:
            logs.update(figures := self._figures(logs))
            state.log_history[-1].update(figures)
        if state.is_world_process_zero and not logs.keys().isdisjoint({"loss", "eval_loss"}):
            when = "eval_" if "eval_loss" in logs else ""
            named = {name: float(logs[when + name]) for name in SHOWN if when + name in logs}
            shown = [SHOWN[name].format(value) for name, value in named.items() if value or name != "nll_loss"]
            # The first step warms up.
            if "loss" in logs and len(self.steps) > 1:
                seconds = fmean(self.steps[1:][-100:]) * (state.max_steps - state.global_step)
                shown.append(f"{timedelta(seconds=round(seconds + seconds_of_evaluations(args, state)))} left")
            self.say(f"step {state.global_step} of {state.max_steps}: {when}{', '.join(shown)}")

    def _figures(self, logs: dict[str, Any]) -> dict[str, float]:
        # Axolotl's counter of tokens in SFT, of padding too, and TRL's in DPO.
        counted = logs.get("tokens/total", logs.get("num_tokens"))
        before, seconds = self.counted, sum(self.steps[self.logged :])
        self.counted, self.logged = counted, len(self.steps)
        peak = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else peak_of_process()
        figures = {"peak_memory_gib": round(peak / (1 << 30), 3)}
        if counted is None or before is None or not seconds:
            return figures
        return {"tokens_per_second": round((float(counted) - float(before)) / seconds, 1), **figures}


def seconds_of_evaluations(args: Any, state: Any) -> float:
    """Return how long the evaluations that are still to come will take, by the fastest: the first one warms up."""
    left = 0
    if args.eval_strategy == "steps":
        left = state.max_steps // state.eval_steps - state.global_step // state.eval_steps
    elif args.eval_strategy == "epoch":
        left = int(state.num_train_epochs) - math.floor(state.epoch or 0)
    return float(left * min((log["eval_runtime"] for log in state.log_history if "eval_runtime" in log), default=0.0))


def peak_of_process() -> int:
    """Return the most bytes of memory that this process has held; the system says kilobytes, on macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class StopWhenLost(TrainerCallback):
    """Ends the process with one line when there is no use in training further; where: the stage's YAML."""

    def __init__(self, where: str) -> None:
        self.where = where

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at what has been logged, before a kill too."""
        if (lost := why_lost(state.log_history)) is None:
            return
        if state.is_world_process_zero:
            state.save_to_json(str(Path(args.output_dir) / STATE_FILE))
        advice = "lower learning_rate or lengthen the warmup, and start afresh with FRESH=1"
        said = f"{self.where}: {lost}, at step {state.global_step}; {advice}"
        raise SystemExit(said if state.is_local_process_zero else 1)


def why_lost(history: list[dict[str, Any]]) -> str | None:
    """Return which figure is no number, or that the loss has long been above the first and its best; or None."""
    # The last one is the average over all steps, also over those after the last log.
    for name in ("loss", "eval_loss", "grad_norm", "train_loss"):
        if not math.isfinite(value := float(history[-1].get(name) or 0)):
            return f"{name} is {value}"
    losses = [float(log["loss"]) for log in history if "loss" in log]
    # A falling DPO loss can come so near to zero that three times its best is still very good.
    bound = max(3 * min(losses), losses[0]) if len(losses) > PATIENCE else math.inf
    if min(losses[-PATIENCE:], default=0.0) <= bound:
        return None
    return f"the loss has been above {bound:.3g} in the last {PATIENCE} logs, and its best was {min(losses):.3g}"
