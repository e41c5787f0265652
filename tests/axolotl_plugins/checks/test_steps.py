"""What is said of a run whose steps may be other than was meant."""

from typing import Any

import pytest
from axolotl.utils.dict import DictDefault

from axolotl_plugins.checks.steps import describe_steps

CFG: dict[str, Any] = {"num_epochs": 3, "batch_size": 8, "warmup_steps": 2, "learning_rate": 2e-4}


def said(rows: int, steps: int, **options: Any) -> list[str]:
    """The lines on a run."""
    return list(describe_steps(DictDefault({**CFG, **options}), rows, steps))


def test_nothing_is_said_of_a_run_that_is_as_it_is_written() -> None:
    assert said(rows=800, steps=300) == []
    assert said(rows=8, steps=3) == []


def test_epochs_that_make_fewer_steps_than_epochs_are_named() -> None:
    [line] = said(rows=4, steps=2, warmup_steps=1)
    assert line.startswith("num_epochs: 3 epochs of 4 rows are only 2 steps of 8; lower gradient_accumulation_steps")


@pytest.mark.parametrize("steps", [50, 20])
def test_a_warmup_that_is_never_over_is_named(steps: int) -> None:
    [line] = said(rows=800, steps=steps, warmup_steps=50)
    assert line.startswith(f"warmup_steps: 50 are not over in the run's {steps} steps, so the learning rate never")
    assert said(rows=800, steps=51, warmup_steps=50) == []


def test_a_run_of_so_many_steps_is_meant_to_be_short_but_its_warmup_may_not_be() -> None:
    options = {"max_steps": 2, "sample_packing": True}
    assert said(rows=800, steps=2, **options, warmup_steps=1) == []
    [line] = said(rows=800, steps=2, **options, warmup_steps=50)
    assert line.startswith("warmup_steps: 50 are not over in the run's 2 steps")


def test_a_packed_step_says_how_many_rows_it_takes() -> None:
    assert said(rows=800, steps=100, sample_packing=True) == ["one step takes 24.0 rows on average"]
