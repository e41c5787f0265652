"""The work of a stage: optimizer steps, tokens, operations, and hours for a given speed."""

from dataclasses import dataclass
from math import ceil, floor

from rabbit_ko.planning.flops import stage_flops
from rabbit_ko.planning.gpus import Gpu
from rabbit_ko.planning.rows import Rows
from rabbit_ko.planning.stage import Stage

# What hours are given for where no speed has been measured; a well-tuned run may reach more, a padded one less.
MFU = 0.40


@dataclass(frozen=True)
class Work:
    """`tokens` are those of the rows, `positions` those that the GPU works on, with what padding is known of."""

    rows_per_step: float
    steps: int
    tokens: float
    positions: float
    flops: float


def work_of(stage: Stage, rows: Rows) -> Work:
    """Count what all epochs take; the batch of `stage` is that of all GPUs together."""
    sequences_per_row = 2 if stage.kind == "dpo" else 1
    tokens = rows.count * sequences_per_row * rows.tokens * stage.epochs
    positions = tokens / (rows.filled or 1.0)
    if stage.packed:
        rows_per_step = stage.batch.size * stage.sequence_len * (rows.filled or 1.0) / rows.tokens
        sequences = ceil(positions / stage.epochs / stage.sequence_len)
        steps = max(floor(sequences * stage.epochs / stage.batch.size), 1)
    else:
        rows_per_step = float(stage.batch.size)
        steps = ceil(rows.count * stage.epochs / stage.batch.size)
    return Work(rows_per_step, steps, tokens, positions, positions * stage_flops(stage, rows.context))


def hours(work: Work, gpu: Gpu, gpus: int, mfu: float = MFU) -> float:
    """Return how long the work takes at this share of the speed that the GPU's maker states."""
    return work.flops / (gpu.teraflops * 1e12 * mfu * gpus) / 3600


def row_hours(rows: int, epochs: float, seconds: float, reference_seconds: float) -> float:
    """Return how long rows take at so many seconds each in every epoch, and once a run for DPO's reference."""
    return rows * (epochs * seconds + reference_seconds) / 3600
