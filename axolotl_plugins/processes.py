"""One optimizer step is the same work on any number of GPUs: its batch is shared, not multiplied.

Axolotl takes `micro_batch_size x gradient_accumulation_steps` rows, or packed sequences, in each process.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rabbit_ko.errors import UserError


@dataclass(frozen=True)
class Batch:
    """What one process takes in one optimizer step."""

    micro_batch_size: int
    gradient_accumulation_steps: int

    @property
    def size(self) -> int:
        return self.micro_batch_size * self.gradient_accumulation_steps


def count_processes(cfg: Any) -> int:
    """Return how many processes take batches of their own: Ray's workers, or those that accelerate has started.

    Processes that work on one sequence together count once.
    """
    started = cfg.get("ray_num_workers") or 1 if cfg.get("use_ray") else int(os.environ.get("WORLD_SIZE", "1"))
    return int(started) // (cfg.get("context_parallel_size") or 1) // (cfg.get("tensor_parallel_size") or 1)


def is_ray_worker(cfg: Any) -> bool:
    """Tell whether this process was started by Ray Train with a config that the driver has checked and filled in."""
    return bool(cfg.get("use_ray")) and "WORLD_SIZE" in os.environ


def configured_batch(cfg: Any) -> Batch:
    """Return a stage's batch as it is written, for one process."""
    micro = cfg.get("micro_batch_size") or 1
    return Batch(micro, cfg.get("gradient_accumulation_steps") or max((cfg.get("batch_size") or micro) // micro, 1))


def share(batch: Batch, processes: int) -> Batch:
    """Return each process's part of a batch, with the largest micro batch that is not above the batch's.

    Raises UserError where the batch cannot be shared evenly.
    """
    if batch.size % processes:
        fitting = ", ".join(str(number) for number in range(1, batch.size + 1) if batch.size % number == 0)
        raise UserError(
            f"micro_batch_size x gradient_accumulation_steps: {batch.size} cannot be shared evenly by {processes} "
            f"processes; use one of {fitting} processes, change the batch, or set `guard_keep_batch: false` to take "
            "it in each process"
        )
    each = batch.size // processes
    micro = max(size for size in range(1, min(batch.micro_batch_size, each) + 1) if each % size == 0)
    return Batch(micro, each // micro)


def keep_batch(cfg: Any, say: Callable[[str], None]) -> None:
    """Give each process its share of the batch, and say so. Raises UserError as `share` does."""
    batch, processes = configured_batch(cfg), count_processes(cfg)
    unit = "packed sequences" if cfg.get("sample_packing") else "rows"
    if cfg.get("guard_keep_batch") is False:
        say(f"one step takes {batch.size * processes} {unit}: {batch.size} in each of {processes} processes")
        return
    part = share(batch, processes)
    if processes > 1:
        cfg["micro_batch_size"] = part.micro_batch_size
        cfg["gradient_accumulation_steps"] = part.gradient_accumulation_steps
        if cfg.get("batch_size"):
            del cfg["batch_size"]
    say(
        f"one step takes {batch.size} {unit}: micro_batch_size {part.micro_batch_size}, gradient_accumulation_steps "
        f"{part.gradient_accumulation_steps}, {processes} process{'' if processes == 1 else 'es'}"
    )
