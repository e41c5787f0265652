"""A run on any number of GPUs: its batch is shared and not multiplied, and how it is spread is a YAML of its own."""

import os
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rabbit_ko.documents import read_yaml
from rabbit_ko.errors import UserError


@dataclass(frozen=True)
class Batch:
    """What one process takes in one optimizer step."""

    micro_batch_size: int
    gradient_accumulation_steps: int

    @property
    def size(self) -> int:
        return self.micro_batch_size * self.gradient_accumulation_steps


def lay_over(config: MutableMapping[str, Any]) -> None:
    """Put the keys of the file that `guard_sharding` names into a stage's config. Raises UserError."""
    name = config.get("guard_sharding")
    if not name:
        return
    keys = _read(name)
    for key, value in keys.items():
        if config.get(key) not in (None, value):
            raise UserError(f"guard_sharding: {name} and the stage both set `{key}`; take it away in one of them")
        config[key] = value


def _read(name: str) -> dict[str, Any]:
    try:
        keys = read_yaml(Path(name))
    except UserError as error:
        raise UserError(f"guard_sharding: {error}") from None
    if not isinstance(keys, dict):
        raise UserError(f"guard_sharding: {name}: must hold `key: value` lines")
    return keys


def count_processes(cfg: Any) -> int:
    """Return how many processes take batches of their own; those that work on one sequence together count once."""
    started = cfg.get("ray_num_workers") or 1 if cfg.get("use_ray") else int(os.environ.get("WORLD_SIZE", "1"))
    return int(started) // (cfg.get("context_parallel_size") or 1) // (cfg.get("tensor_parallel_size") or 1)


def configured_batch(cfg: Any) -> Batch:
    """Return a stage's batch as it is written, for one process."""
    micro = cfg.get("micro_batch_size") or 1
    return Batch(micro, cfg.get("gradient_accumulation_steps") or max((cfg.get("batch_size") or micro) // micro, 1))


def share(batch: Batch, processes: int) -> Batch:
    """Return each process's part of a batch, its micro batch as large as can be. Raises UserError if it is uneven."""
    each, rest = divmod(batch.size, processes)
    if rest:
        fitting = ", ".join(str(number) for number in range(1, batch.size + 1) if batch.size % number == 0)
        raise UserError(
            f"micro_batch_size x gradient_accumulation_steps: {batch.size} cannot be shared evenly by {processes} "
            f"processes; use one of {fitting} processes, change the batch, or set `guard_keep_batch: false` to take "
            "it in each process"
        )
    micro = max(size for size in range(1, min(batch.micro_batch_size, each) + 1) if each % size == 0)
    return Batch(micro, each // micro)


def keep_batch(cfg: Any, say: Callable[[str], None]) -> None:
    """Give each process its share of the batch, and say so. Raises UserError as `share` does."""
    batch, processes = configured_batch(cfg), count_processes(cfg)
    part = batch if cfg.get("guard_keep_batch") is False else share(batch, processes)
    if processes > 1:
        cfg.update(vars(part))
        cfg.pop("batch_size", None)
    say(
        f"one step takes {part.size * processes} {'packed sequences' if cfg.get('sample_packing') else 'rows'}: "
        f"micro_batch_size {part.micro_batch_size}, gradient_accumulation_steps {part.gradient_accumulation_steps}, "
        f"{processes} process{'' if processes == 1 else 'es'}"
    )
