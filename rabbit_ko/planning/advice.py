"""What to change where a stage does not fit: one thing after another, until it does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from axolotl_plugins.processes import Batch
from rabbit_ko.planning.memory import Sharding, can_estimate, estimate
from rabbit_ko.planning.stage import Stage

SHORTEST = 1024


@dataclass(frozen=True)
class Advice:
    """A change to make after those before it, and the memory in bytes that is then needed."""

    change: str
    total: float


def advise(stage: Stage, gpus: int, sharding: Sharding, limit: float) -> list[Advice]:
    """Return changes that lower the memory, cheapest first, up to the first that fits into `limit` bytes."""
    total = estimate(stage, gpus, sharding).total
    steps: list[Advice] = []
    for change, changed, over in _changes(stage, gpus, sharding):
        if total <= limit:
            break
        if (lower := estimate(changed, gpus, over).total) < total:
            total = lower
            steps.append(Advice(change, total))
    return steps


def _changes(stage: Stage, gpus: int, sharding: Sharding) -> Iterator[tuple[str, Stage, Sharding]]:
    """Yield each change with the stage and sharding that it and those before it make."""
    if stage.kind == "sft" and not stage.fused_loss:
        stage = replace(stage, fused_loss=True)
        yield "liger_fused_linear_cross_entropy: true, with axolotl's LigerPlugin", stage, sharding
    if not stage.checkpointing:
        stage = replace(stage, checkpointing=True)
        yield "gradient_checkpointing: true, for a second forward pass", stage, sharding
    while stage.batch.micro_batch_size > 1:
        stage = replace(stage, batch=_halved(stage.batch))
        micro, accumulation = stage.batch.micro_batch_size, stage.batch.gradient_accumulation_steps
        yield f"micro_batch_size: {micro}, gradient_accumulation_steps: {accumulation} on each GPU", stage, sharding
    if gpus > 1 and sharding not in ("zero3", "fsdp2") and can_estimate(stage, "fsdp2"):
        sharding = "fsdp2"
        yield "SHARDING=fsdp2, which spreads the weights", stage, sharding
    if stage.rank is not None and not stage.four_bit and sharding == "ddp":
        stage = replace(stage, four_bit=True)
        yield "adapter: qlora, load_in_4bit: true", stage, sharding
    while stage.sequence_len > SHORTEST:
        stage = replace(stage, sequence_len=stage.sequence_len // 2)
        yield f"sequence_len: {stage.sequence_len}; the guard counts rows that no longer fit", stage, sharding


def _halved(batch: Batch) -> Batch:
    """The largest micro batch below this one with which the batch stays what it is."""
    micro = max(size for size in range(1, batch.micro_batch_size) if batch.size % size == 0)
    return Batch(micro, batch.size // micro)
