"""How fast a stage has trained: the arithmetic between the meter's steps and the table."""

import json
from dataclasses import dataclass
from pathlib import Path

from rabbit_ko.planning.flops import stage_flops
from rabbit_ko.planning.gpus import Gpu
from rabbit_ko.planning.stage import Stage
from rabbit_ko.planning.work import row_hours

# What the meter writes, in the output folder of a run.
STEPS = "steps.json"
MFU_FORMULA = (
    "MFU = positions/s x FLOPs of a position / (GPUs x stated dense bf16 FLOP/s). FLOPs of a position: with LoRA "
    "4 a frozen weight and 6 an adapter's, without it 6 a weight, of all weights but the embedding; attention "
    "6 x layers x query width x context; for DPO also 2 a weight and a third of that attention, for the reference. "
    "Context is the length of the row that an average token stands in. Recomputation does not count."
)


@dataclass(frozen=True)
class Steps:
    """What the meter wrote: a list has a value for each step, or for each batch of the reference pass.

    `positions` counts padding, `tokens` does not; of them `trained` have a label. Of a pair both answers count.
    """

    seconds: list[float]
    positions: list[int]
    tokens: list[int]
    trained: list[int]
    rows: list[int]
    reference_seconds: list[float]
    reference_rows: list[int]
    gpus: int
    device: str
    peak_bytes: int
    reserved_bytes: int | None = None


@dataclass(frozen=True)
class Speed:
    """What all GPUs together do in a second; the reference pass of DPO is shared out to the epochs of the recipe."""

    positions: float
    tokens: float
    trained: float
    rows: float
    padding: float
    step_seconds: float
    seconds_per_row: float
    reference_seconds_per_row: float

    def hours(self, rows: int, epochs: float) -> float:
        """Return how long so many epochs take, with one reference pass where there is one."""
        return row_hours(rows, epochs, self.seconds_per_row, self.reference_seconds_per_row)


def read_steps(path: Path) -> Steps:
    """Read the meter's file."""
    return Steps(**json.loads(path.read_text(encoding="utf-8")))


def speed_of(steps: Steps, warmup: int, epochs: float) -> Speed:
    """Leave the first `warmup` steps out, and as many batches of the reference pass, and take the rest together."""
    seconds, rows = sum(steps.seconds[warmup:]), sum(steps.rows[warmup:])
    positions, tokens = sum(steps.positions[warmup:]), sum(steps.tokens[warmup:])
    reference = _seconds_per_row(steps.reference_seconds, steps.reference_rows, warmup)
    whole = seconds + rows * reference / epochs
    return Speed(
        positions=positions / whole,
        tokens=tokens / whole,
        trained=sum(steps.trained[warmup:]) / whole,
        rows=rows / whole,
        padding=1 - tokens / positions,
        step_seconds=seconds / len(steps.seconds[warmup:]),
        seconds_per_row=seconds / rows,
        reference_seconds_per_row=reference,
    )


def utilisation(stage: Stage, speed: Speed, context: float, gpu: Gpu | None, gpus: int) -> float | None:
    """Return the MFU, as `MFU_FORMULA` has it; None where the GPU's stated speed is not known."""
    if gpu is None:
        return None
    return speed.positions * stage_flops(stage, context) / (gpus * gpu.teraflops * 1e12)


def _seconds_per_row(seconds: list[float], rows: list[int], warmup: int) -> float:
    """The last batch is dropped too: behind it stands what TRL does with the results."""
    rows, seconds = rows[warmup:-1], seconds[warmup:-1]
    return sum(seconds) / sum(rows) if rows else 0.0
