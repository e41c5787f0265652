"""How much of a training step is text and how much is padding, with axolotl's own packing and without it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rabbit_ko.inspection.report.measure import Array


@dataclass(frozen=True)
class Packing:
    """The share of positions that hold a token, in [0, 1], with `sample_packing` and in padded batches without it.

    `used` tells whether the stage asks for packing. `packed` is None where the rows do not fill one batch of
    sequences of `capacity` tokens, `rows_per_sequence` rows each; a padded batch has `batch_size` rows.
    """

    used: bool
    capacity: int
    batch_size: int
    packed: float | None
    rows_per_sequence: float
    padded: float


def pack(lengths: Array, cfg: Any) -> Packing | None:
    """Pack rows of these lengths, in tokens, as axolotl packs them in training; None where there are no rows.

    The order is one random order, from the stage's seed, as training takes another one in each epoch.
    """
    if not len(lengths):
        return None
    from axolotl.utils.samplers import MultipackBatchSampler

    order = np.random.default_rng(cfg.seed or 0).permutation(len(lengths))
    capacity, sequences_per_batch = _shape(cfg)
    sampler = MultipackBatchSampler(
        order.tolist(),
        lengths=lengths,
        batch_max_len=capacity,
        batch_size=sequences_per_batch,
        group_size=cfg.sample_packing_group_size,
        bin_size=cfg.sample_packing_bin_size,
        sequential=bool(cfg.sample_packing_sequentially),
        drop_last=True,
        num_processes=1,
    )
    sequences = [sequence for batch in sampler.generate_batches(set_stats=True) for sequence in batch]
    return Packing(
        used=bool(cfg.sample_packing),
        capacity=capacity,
        batch_size=cfg.micro_batch_size,
        packed=sampler.efficiency() if sequences else None,
        rows_per_sequence=sum(map(len, sequences)) / len(sequences) if sequences else 0.0,
        padded=padded_share(lengths[order], cfg.micro_batch_size),
    )


def _shape(cfg: Any) -> tuple[int, int]:
    """Return the tokens of a packed sequence and the sequences of a batch, as axolotl's trainer sets them."""
    real_batches = cfg.multipack_real_batches
    if real_batches is None:
        real_batches = not cfg.attn_supports_packing
    if real_batches:
        return cfg.sequence_len, cfg.micro_batch_size
    return cfg.sequence_len * cfg.micro_batch_size, 1


def padded_share(lengths: Array, batch_size: int) -> float:
    """Return the share of tokens where each batch is padded to its longest row."""
    starts = np.arange(0, len(lengths), batch_size)
    sizes = np.diff([*starts, len(lengths)])
    positions = np.maximum.reduceat(lengths, starts) * sizes
    return float(lengths.sum() / positions.sum())
