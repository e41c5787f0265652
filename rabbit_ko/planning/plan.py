"""One stage's plan, put together."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from axolotl_plugins.processes import Batch, share
from dataset_builders.manifest import MANIFEST
from rabbit_ko.errors import UserError
from rabbit_ko.planning.advice import Advice, advise
from rabbit_ko.planning.gpus import GPUS, REPORTED, Gpu, gpus_with
from rabbit_ko.planning.measured import Measurement
from rabbit_ko.planning.memory import GIB, Memory, Sharding, can_estimate, estimate
from rabbit_ko.planning.rows import Rows, count_rows, measure_lengths, rows_of
from rabbit_ko.planning.stage import Stage
from rabbit_ko.planning.work import MFU, Work, hours, work_of


@dataclass(frozen=True)
class Machine:
    """What the run is to have: GPUs of so many GiB, the sharding over them, and a gpu's name where one is given."""

    gpus: int
    gpu_memory: float
    sharding: Sharding
    gpu: str | None = None

    @property
    def models(self) -> list[Gpu]:
        return [GPUS[self.gpu]] if self.gpu else gpus_with(self.gpu_memory)


@dataclass(frozen=True)
class Plan:
    """A stage's needs on a machine; `part` is the batch of one GPU, `advice` is empty where it fits."""

    recipe: str
    stage: Stage
    machine: Machine
    part: Batch
    memory: Memory
    rows: Rows
    work: Work
    measured: list[Measurement]
    advice: list[Advice]

    @property
    def spare(self) -> float:
        """Bytes that are left on each GPU; negative where it does not fit."""
        return self.machine.gpu_memory * GIB - self.memory.total

    @property
    def hours(self) -> dict[str, float]:
        """Hours by gpu, at the utilisation that is assumed."""
        return {gpu.name: hours(self.work, gpu, self.machine.gpus) for gpu in self.machine.models}

    @property
    def measured_hours(self) -> dict[str, float]:
        """Hours by the machine that was measured."""
        gpus, rows, epochs = self.machine.gpus, self.rows.count, self.stage.epochs
        return {result.device: result.hours(rows, epochs, gpus) for result in self.measured}

    @property
    def reported(self) -> str | None:
        """What a model's gpu says of the same training."""
        return REPORTED.get(self.stage.base_model)

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain values, bytes as GiB."""
        stage = {**asdict(self.stage), "path": str(self.stage.path), "data": str(self.stage.data)}
        return {
            "recipe": self.recipe,
            "stage": stage | {"parameters": self.stage.shape.parameters, "trainable": self.stage.trainable},
            "machine": asdict(self.machine),
            "batch_of_each_gpu": asdict(self.part),
            "memory_gib": self.memory.gib(),
            "fits": self.spare >= 0,
            "rows": asdict(self.rows),
            "work": asdict(self.work),
            "hours_at_assumed_mfu": {"mfu": MFU, **self.hours},
            "hours_as_measured": self.measured_hours,
            "measured": [result.model_dump() for result in self.measured],
            "reported": self.reported,
            "advice": [{"change": step.change, "total_gib": step.total / GIB} for step in self.advice],
            "rests_on": list(assumptions(self)),
        }


def make_plan(
    stage: Stage, machine: Machine, given: tuple[int | None, float | None], measured: list[Measurement]
) -> Plan:
    """Plan a stage; `given` are rows and tokens a row, where the caller knows better.

    Raises UserError where the sharding is not estimated for the stage, the batch cannot be shared by the GPUs, or
    nothing is known of the rows.
    """
    if not can_estimate(stage, machine.sharding):
        raise UserError(
            f"{stage.path}: load_in_4bit: a base in 4 bits is not estimated over {machine.sharding}, where its "
            "packed weights would be gathered; ask for ddp or zero2"
        )
    try:
        part = share(stage.batch, machine.gpus)
    except UserError as error:
        raise UserError(f"{stage.path}: {error}") from None
    on_each = replace(stage, batch=part)
    rows = _rows(stage, *given)
    return Plan(
        recipe=stage.path.parent.name,
        stage=stage,
        machine=machine,
        part=part,
        memory=estimate(on_each, machine.gpus, machine.sharding),
        rows=rows,
        work=work_of(stage, rows),
        measured=measured,
        advice=advise(on_each, machine.gpus, machine.sharding, machine.gpu_memory * GIB),
    )


def assumptions(plan: Plan) -> Iterator[str]:
    """Yield what the figures rest on, one thing a line."""
    yield f"rows: {plan.rows.count_from}"
    yield f"tokens a row: {plan.rows.tokens_from}"
    unit = "packed" if plan.stage.packed else "padded to a row of full length"
    yield f"memory: a batch of {plan.part.micro_batch_size} x {plan.stage.sequence_len} tokens, {unit}; no KV cache"
    yield "memory: formulas for what is kept (planning/), with 0.8 GiB for CUDA, 0.8 GiB for communication, 5% lost"
    if plan.stage.grouped_attention:
        yield "memory: attention as FlashAttention keeps it; sdpa keeps keys and values once for each query head"
    for result in plan.measured:
        shared = f", {result.gpus} GPU{'s' if result.gpus > 1 else ''} there; speed taken to grow with GPUs"
        yield f"hours, {result.basis}, padding included{shared if result.gpus != plan.machine.gpus else ''}"
    assumed = "hours at MFU" if plan.measured else "hours"
    if plan.rows.filled is None:
        yield f"{assumed}: padding is not in them, since no row could be measured"
    yield f"{assumed}: operations / (GPUs x stated bf16 speed x MFU), at MFU {MFU:.2f} assumed, not measured"


def _rows(stage: Stage, count: int | None, tokens: float | None) -> Rows:
    counted = count_rows(stage, count)
    tokenizer = None if tokens or not (stage.data / MANIFEST).exists() else _tokenizer(stage)
    return rows_of(stage, measure_lengths(stage, tokenizer) if tokenizer else [], counted, tokens)


def _tokenizer(stage: Stage) -> Any:
    """Return the base's tokenizer where it is at hand without the network, else None."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(stage.base_model, local_files_only=True)
    except (OSError, ValueError):
        return None
