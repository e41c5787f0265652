"""One optimizer step is the same work on any number of GPUs: its batch is shared, not multiplied.

Axolotl takes `micro_batch_size x gradient_accumulation_steps` rows, or packed sequences, in each process.
"""

import os
from dataclasses import dataclass
from typing import Any


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

    Raises ValueError where the batch cannot be shared evenly.
    """
    if batch.size % processes:
        fitting = ", ".join(str(number) for number in range(1, batch.size + 1) if batch.size % number == 0)
        raise ValueError(
            f"micro_batch_size x gradient_accumulation_steps: {batch.size} cannot be shared evenly by {processes} "
            f"processes; use one of {fitting} processes, change the batch, or set `guard_keep_batch: false` to take "
            "it in each process"
        )
    each = batch.size // processes
    micro = max(size for size in range(1, min(batch.micro_batch_size, each) + 1) if each % size == 0)
    return Batch(micro, each // micro)


def keep_batch(cfg: Any) -> None:
    """Give each process its share of the batch, and say so; raises ValueError as `share` does."""
    from axolotl_plugins.log import LOG  # needs axolotl, and planning does not

    batch, processes = configured_batch(cfg), count_processes(cfg)
    unit = "packed sequences" if cfg.get("sample_packing") else "rows"
    if cfg.get("guard_keep_batch") is False:
        LOG.info(
            "one step takes %d %s: %d in each of %d processes", batch.size * processes, unit, batch.size, processes
        )
        return
    part = share(batch, processes)
    if processes > 1:
        cfg["micro_batch_size"] = part.micro_batch_size
        cfg["gradient_accumulation_steps"] = part.gradient_accumulation_steps
        if cfg.get("batch_size"):
            del cfg["batch_size"]
    LOG.info(
        "one step takes %d %s: micro_batch_size %d, gradient_accumulation_steps %d, %d process%s",
        batch.size,
        unit,
        part.micro_batch_size,
        part.gradient_accumulation_steps,
        processes,
        "" if processes == 1 else "es",
    )
