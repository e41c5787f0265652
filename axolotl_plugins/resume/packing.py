"""The order of packed rows: each epoch's follows from the seed and the epoch alone, so that a run can resume."""

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

import torch
from torch.utils.data import RandomSampler


def keep_order(trainer: Any) -> None:
    """Let a trainer's packed batches be the same after an interruption; axolotl shuffles by global random numbers."""
    trainer._create_multipack_sampler = partial(_create, trainer, trainer._create_multipack_sampler)


def _create(trainer: Any, create: Callable[..., Any], base_sampler: Any, dataset: Any, **options: Any) -> Any:
    packs = create(base_sampler=base_sampler, dataset=dataset, **options)
    # The others, of evaluation and of a curriculum, are in the order of the dataset.
    if isinstance(base_sampler, RandomSampler):
        args = trainer.args
        seed = args.seed if args.data_seed is None else args.data_seed
        draw = partial(_draw, packs, packs.generate_batches, seed)
        # The trainer counts its steps by the epoch, so each must have as many batches as the shortest.
        packs._len_across_ranks = _shortest(draw, args)
        packs.generate_batches = lambda set_stats=False: draw(int(trainer.state.epoch or 0), set_stats)
    return packs


def _draw(packs: Any, generate: Callable[..., Any], seed: int, epoch: int, set_stats: bool = False) -> list[Any]:
    packs.set_epoch(epoch)
    packs.sampler = torch.randperm(len(packs.lengths), generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return list(generate(set_stats))


def _shortest(draw: Callable[[int], list[Any]], args: Any) -> int:
    """Return how many batches each epoch of the run has at least."""
    epoch, fewest = 1, len(draw(0))
    while epoch < _count_epochs(args, fewest):
        fewest = min(fewest, len(draw(epoch)))
        epoch += 1
    return fewest


def _count_epochs(args: Any, batches: int) -> int:
    per_epoch = max(1, ceil(batches // args.world_size / args.gradient_accumulation_steps))
    return ceil(float(args.max_steps / per_epoch if args.max_steps > 0 else args.num_train_epochs))
