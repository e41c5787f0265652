"""How far a run is, and how long it will take, by what this attempt has measured."""

from types import SimpleNamespace
from typing import Any

import pytest

from axolotl_plugins import callbacks
from axolotl_plugins.callbacks import Progress, peak_of_process, seconds_of_evaluations

ARGS = SimpleNamespace(eval_strategy="steps")


class Run:
    """A trainer's calls, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int = 0) -> None:
        self.now, self.said = 1000.0, list[str]()
        monkeypatch.setattr(callbacks, "monotonic", lambda: self.now)
        self.progress = Progress(self.said.append)
        self.state: Any = SimpleNamespace(
            global_step=step, max_steps=100, eval_steps=50, log_history=[], is_world_process_zero=True
        )
        self.progress.on_train_begin()

    def take(self, *seconds: float) -> None:
        for each in seconds:
            self.now += each
            self.state.global_step += 1
            self.progress.on_step_end()

    def evaluate(self, seconds: float) -> None:
        self.now += seconds
        self.log(eval_loss=1.0, eval_runtime=seconds)
        self.progress.on_evaluate()

    def log(self, **logs: float) -> dict[str, float]:
        self.state.log_history.append(dict(logs))
        self.progress.on_log(ARGS, self.state, None, logs)
        return logs


@pytest.mark.parametrize("before", [0, 40])
def test_the_time_left_is_of_this_attempts_steps_and_the_evaluations_to_come(
    monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    run = Run(monkeypatch, before)
    run.evaluate(30)
    run.take(60, 2, 2, 2, 2)
    run.log(loss=1.0)
    assert run.said[-1].endswith(f"{(95 - before) * 2 // 60 + 1}:{(95 - before) * 2 % 60:02} left")


def test_without_a_step_after_the_first_it_does_not_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch)
    run.take(60)
    run.log(loss=1.0)
    assert "left" not in run.said[-1]


@pytest.mark.parametrize("counter", ["tokens/total", "num_tokens"])
def test_throughput_counts_steps_and_not_evaluations(monkeypatch: pytest.MonkeyPatch, counter: str) -> None:
    run = Run(monkeypatch)
    run.take(9)
    assert "tokens_per_second" not in run.log(**{"loss": 1.0, counter: 7_000})
    run.evaluate(1000)
    run.take(2, 2)
    logged = run.log(**{"loss": 1.0, counter: 8_000})
    assert logged["tokens_per_second"] == 250
    assert logged["peak_memory_gib"] > 0
    assert run.state.log_history[-1] == logged


def test_a_line_shows_what_a_stage_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "peak_of_process", lambda: 3 << 29)
    run = Run(monkeypatch, step=3)
    run.log(num_tokens=0, loss=1.0)
    run.take(4, 4)
    run.log(**{"loss": 0.5, "rewards/margins": 1.25, "rewards/accuracies": 0.75, "num_tokens": 2_000})
    run.log(**{"eval_loss": 2.0, "eval_runtime": 1.0, "eval_rewards/margins": 0.5, "epoch": 1})
    assert run.said[1:] == [
        "step 5 of 100: loss 0.5, margin 1.25, accuracy 0.75, 250 tokens/s, 1.5 GiB, 0:06:20 left",
        "step 5 of 100: eval_loss 2, margin 0.5",
    ]


def test_a_line_shows_a_methods_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "peak_of_process", lambda: 1 << 30)
    run = Run(monkeypatch)
    margin = {"rewards/margins": 0.25}
    run.log(loss=1.0, nll_loss=0.75, log_odds_ratio=-0.5, **margin)
    run.log(loss=1.0, nll_loss=0.0, **margin)
    run.log(loss=0.5, kl=0.0, **margin)
    assert run.said == [
        "step 0 of 100: loss 1, likelihood 0.75, log odds ratio -0.5, margin 0.25, 1 GiB",
        "step 0 of 100: loss 1, margin 0.25, 1 GiB",
        "step 0 of 100: loss 0.5, KL 0, margin 0.25, 1 GiB",
    ]


@pytest.mark.parametrize(("strategy", "expected"), [("no", 0), ("epoch", 2), ("steps", 4)])
def test_evaluations_to_come_are_counted_by_the_fastest(strategy: str, expected: int) -> None:
    history = [{"eval_runtime": 9.0}, {"eval_runtime": 3.0}, {"loss": 1.0}]
    state = SimpleNamespace(
        global_step=60, max_steps=100, eval_steps=10, epoch=1.5, num_train_epochs=3, log_history=history
    )
    assert seconds_of_evaluations(SimpleNamespace(eval_strategy=strategy), state) == 3 * expected


def test_the_memory_of_this_process_is_some_of_the_machines() -> None:
    assert 0.05 < peak_of_process() / (1 << 30) < 1000
