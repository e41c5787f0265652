"""What the steps of a run come to, where that may be other than was meant."""

from collections.abc import Iterator
from typing import Any


def describe_steps(cfg: Any, rows: int, steps: int) -> Iterator[str]:
    """Yield lines on a run of so many rows and optimizer steps: what a packed step takes, and what is too short."""
    if cfg.sample_packing and not cfg.max_steps:
        yield f"one step takes {rows * cfg.num_epochs / steps:.1f} rows on average"
    if steps < cfg.num_epochs and not cfg.max_steps:
        yield (
            f"num_epochs: {cfg.num_epochs:g} epochs of {rows:,} rows are only {steps} steps of {cfg.batch_size}; "
            "lower gradient_accumulation_steps or micro_batch_size for more of them"
        )
    if (cfg.warmup_steps or 0) >= steps:
        yield (
            f"warmup_steps: {cfg.warmup_steps} are not over in the run's {steps} steps, so the learning rate never "
            f"reaches {cfg.learning_rate:g}; lower them, or write `warmup_ratio: 0.03` instead"
        )
