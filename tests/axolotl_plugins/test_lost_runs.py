"""A run that is lost is stopped with a line, and no other is."""

import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerState

from axolotl_plugins.callbacks import PATIENCE, Checkpoints, StopWhenLost, why_lost
from axolotl_plugins.resume.checkpoints import STATE_FILE

FALLING = [3.0 - 0.04 * log for log in range(50)]


def first_lost(losses: list[float]) -> int | None:
    """The number of logs after which a run is stopped."""
    history = [{"loss": loss} for loss in losses]
    return next((count for count in range(1, len(losses) + 1) if why_lost(history[:count])), None)


@pytest.mark.parametrize("name", ["loss", "eval_loss", "grad_norm", "train_loss"])
@pytest.mark.parametrize("value", [math.nan, math.inf, "nan"])
def test_a_figure_that_is_no_number_stops_a_run_at_once(name: str, value: Any) -> None:
    assert why_lost([{"loss": 1.0, name: value}]) == f"{name} is {float(value)}"
    assert why_lost([{"loss": 1.0, "grad_norm": None, "epoch": math.nan}]) is None


def test_a_resumed_run_logs_and_saves_as_often_as_it_says_now() -> None:
    state = TrainerState(logging_steps=10, save_steps=100, eval_steps=50, max_steps=40)
    Checkpoints({}, 0).on_train_begin(SimpleNamespace(logging_steps=1, save_steps=0.25, eval_steps=50), state, None)
    assert (state.logging_steps, state.save_steps, state.eval_steps) == (1, 10, 50)


def test_a_loss_that_has_diverged_stops_a_run_after_some_logs() -> None:
    assert first_lost([*FALLING, *[9.0] * 20]) == len(FALLING) + PATIENCE
    assert "above 3.12 in the last 5 logs, and its best was 1.04" in str(
        why_lost([{"loss": loss} for loss in [*FALLING, *[9.0] * PATIENCE]])
    )


def test_a_dpo_loss_that_is_worse_than_knowing_nothing_stops_a_run() -> None:
    assert first_lost([0.69, 0.4, 0.2, 0.1, *[2.0] * 20]) == 4 + PATIENCE


def test_noise_spikes_and_a_falling_loss_do_not_stop_a_run() -> None:
    chance = random.Random(0)
    noisy = [loss * chance.uniform(0.5, 1.5) for loss in FALLING]
    spiky = [20.0 if log % PATIENCE == 3 else loss for log, loss in enumerate(FALLING)]
    assert [first_lost(losses) for losses in (FALLING, noisy, spiky)] == [None] * 3


def test_a_dpo_loss_that_comes_near_to_zero_may_rise_again() -> None:
    assert first_lost([0.69, 0.3, 0.05, 0.001, *[0.2] * 30]) is None


def test_an_unlucky_first_batch_does_not_stop_a_run() -> None:
    assert first_lost([0.9, *[2.5] * 30]) is None


def test_it_counts_the_logs_before_a_kill_and_keeps_what_was_logged(tmp_path: Path) -> None:
    history = [{"loss": loss, "step": step} for step, loss in enumerate([*FALLING, *[9.0] * PATIENCE])]
    state = TrainerState(log_history=history, global_step=55, is_world_process_zero=True)
    args: Any = SimpleNamespace(output_dir=str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        StopWhenLost("sft.yaml").on_log(args, state, None)
    line = str(stopped.value)
    assert line.startswith("sft.yaml: the loss has been above")
    assert line.endswith("at step 55; lower learning_rate or lengthen the warmup, and start afresh with FRESH=1")
    assert TrainerState.load_from_json(str(tmp_path / STATE_FILE)).log_history == history
    state.is_world_process_zero = state.is_local_process_zero = False
    with pytest.raises(SystemExit, match=r"^1$"):  # without a line, which the first process of a machine says
        StopWhenLost("sft.yaml").on_log(args, state, None)
