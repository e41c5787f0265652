"""A stage's plan: what it needs on a machine, what that rests on, and what to change where it does not fit."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl_plugins.processes import Batch, share
from dataset_builders.manifest import MANIFEST
from rabbit_ko.errors import UserError
from rabbit_ko.planning.memory import Advice, Sharding, advise, can_estimate, estimate
from rabbit_ko.planning.speed import GPUS, MFU, Measurement, hours, measured_file, read_measurements
from rabbit_ko.planning.stage import Stage, read_stage
from rabbit_ko.planning.work import Rows, Work, count_rows, describe_rows, row_lengths, work_of
from rabbit_ko.recipes import Recipe

# By the base that a recipe trains: what the model's card says of its own training.
REPORTED = {
    "beomi/Llama-3-Open-Ko-8B": "the AOG model card reports about 8 hours on one A100 for 3 epochs of 53,000 rows",
}
PARTS = {
    "weights": "the base, frozen",
    "adapter": "what is trained",
    "gradients": "of what is trained",
    "optimizer": "Adam's two moments, and float32 copies",
    "gathered": "other GPUs' weights while they are used",
    "activations": "kept for the backward pass",
    "working": "the loss, or one layer's backward pass",
    "evaluation": "whole logits, beyond what training holds",
    "reserve": "CUDA, communication, what the allocator loses",
}


@dataclass(frozen=True)
class Machine:
    """What the run is to have: GPUs of so many GiB, the sharding over them, and the GPU's name where one is given."""

    gpus: int
    gpu_memory: float
    sharding: Sharding
    gpu: str | None = None


@dataclass(frozen=True)
class Plan:
    """A stage's needs, under the names of the JSON form; `advice` is empty where the stage fits."""

    recipe: str
    stage: Stage
    machine: Machine
    batch_of_each_gpu: Batch
    memory_gib: dict[str, float]
    fits: bool
    rows: Rows
    work: Work
    hours_at_assumed_mfu: dict[str, float]
    hours_as_measured: dict[str, float]
    measured: list[Measurement]
    reported: str | None
    advice: list[Advice]
    rests_on: list[str]


def plan_recipe(
    recipe: Recipe,
    machine: Machine,
    rows: int | None = None,
    row_tokens: float | None = None,
    measured: Path | None = None,
) -> list[Plan]:
    """Plan the stages of a recipe, in order.

    rows, row_tokens: what to plan with in the place of what is known of the rows. measured: a file of measured speeds
    in the place of the one that `make bench WHAT=train` has left.
    Raises UserError where a stage cannot be read, the sharding is not estimated for it, its batch cannot be shared by
    the GPUs, or nothing is known of its rows.
    """
    left = measured_file(recipe.name)
    file = measured or (left if left.exists() else None)
    stages = [read_stage(recipe.config(method.name)) for method in recipe.methods]
    if not stages:
        raise UserError(f"{recipe.folder}: no stage there; add an sft.yaml or a dpo.yaml")
    return [_plan(stage, machine, _rows(stage, rows, row_tokens), file) for stage in stages]


def _plan(stage: Stage, machine: Machine, rows: Rows, file: Path | None) -> Plan:
    on_each = _on_each_gpu(stage, machine)
    memory = estimate(on_each, machine.gpus, machine.sharding).gib()
    measured = read_measurements(file, stage) if file else []
    models = (
        [GPUS[machine.gpu]] if machine.gpu else [gpu for gpu in GPUS.values() if gpu.memory == machine.gpu_memory]
    )
    work = work_of(stage, rows)
    return Plan(
        recipe=stage.recipe,
        stage=stage,
        machine=machine,
        batch_of_each_gpu=on_each.batch,
        memory_gib=memory,
        fits=memory["total"] <= machine.gpu_memory,
        rows=rows,
        work=work,
        hours_at_assumed_mfu={"mfu": MFU, **{gpu.name: hours(work, gpu, machine.gpus) for gpu in models}},
        hours_as_measured={one.device: one.hours(rows.count, stage.epochs, machine.gpus) for one in measured},
        measured=measured,
        reported=REPORTED.get(stage.base_model),
        advice=advise(on_each, machine.gpus, machine.sharding, machine.gpu_memory),
        rests_on=list(_assumptions(on_each, rows, measured, machine.gpus)),
    )


def _on_each_gpu(stage: Stage, machine: Machine) -> Stage:
    if not can_estimate(stage, machine.sharding):
        raise UserError(
            f"{stage.path}: load_in_4bit: a base in 4 bits is not estimated over {machine.sharding}, where its "
            "packed weights would be gathered; ask for ddp or zero2"
        )
    try:
        return stage.model_copy(update={"batch": share(stage.batch, machine.gpus)})
    except ValueError as error:
        raise UserError(f"{stage.path}: {error}") from None


def _rows(stage: Stage, count: int | None, row_tokens: float | None) -> Rows:
    counted = (count, "as you say") if count else count_rows(stage)
    tokenizer = None if row_tokens or not (stage.data / MANIFEST).exists() else _tokenizer(stage)
    return describe_rows(stage, row_lengths(stage, tokenizer) if tokenizer else [], counted, row_tokens)


def _tokenizer(stage: Stage) -> Any:
    """Return the base's tokenizer where it is at hand without the network, else None."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(stage.base_model, local_files_only=True)
    except (OSError, ValueError):
        return None


def _assumptions(on_each: Stage, rows: Rows, measured: list[Measurement], gpus: int) -> Iterator[str]:
    """Yield what the figures rest on, one thing a line."""
    yield f"rows: {rows.count_from}"
    yield f"tokens a row: {rows.tokens_from}"
    unit = "packed" if on_each.packed else "padded to a row of full length"
    yield f"memory: a batch of {on_each.batch.micro_batch_size} x {on_each.sequence_len} tokens, {unit}; no KV cache"
    yield "memory: formulas for what is kept (planning/), with 0.8 GiB for CUDA, 0.8 GiB for communication, 5% lost"
    if on_each.grouped_attention:
        yield "memory: attention as FlashAttention keeps it; sdpa keeps keys and values once for each query head"
    for result in measured:
        there = f", {result.gpus} GPU{'s' if result.gpus > 1 else ''} there; speed taken to grow with GPUs"
        yield f"hours, {result.basis}, padding included{there if result.gpus != gpus else ''}"
    assumed = "hours at MFU" if measured else "hours"
    if rows.filled is None:
        yield f"{assumed}: padding is not in them, since no row could be measured"
    yield f"{assumed}: operations / (GPUs x stated bf16 speed x MFU), at MFU {MFU:.2f} assumed, not measured"


def as_text(plan: Plan) -> str:
    """Return a plan for the terminal: three short tables, what they rest on, and advice where it does not fit."""
    peaks = [(result.device, result.peak_memory_gib) for result in plan.measured if result.peak_memory_gib]
    lines = [
        *_heading(plan),
        "",
        *_memory(plan),
        _verdict(plan),
        *(f"  {number}. {step.change}: {step.total_gib:.1f} GiB" for number, step in enumerate(plan.advice, start=1)),
        *(f"  measured on {device}: {peak:.1f} GiB" for device, peak in peaks),
        "",
        *_work(plan),
        "",
        *_hours(plan),
        "",
        "rests on",
        *(f"  {line}" for line in plan.rests_on),
    ]
    return "\n".join(lines)


def _heading(plan: Plan) -> Iterator[str]:
    stage, machine, batch = plan.stage, plan.machine, plan.batch_of_each_gpu
    trained = f"LoRA of rank {stage.rank}, {stage.trainable:,} weights" if stage.rank else "all weights"
    bits = ", the base in 4 bits" if stage.four_bit else ""
    yield f"{plan.recipe} {stage.method.name}: {stage.shape.name}, {stage.parameters:,} weights; {trained}{bits}"
    gpus = f"{machine.gpus} GPU{'s' if machine.gpus > 1 else ''} of {machine.gpu_memory:g} GiB, {machine.sharding}"
    yield f"{gpus}; batch of each: {batch.micro_batch_size} x {batch.gradient_accumulation_steps}"


def _memory(plan: Plan) -> Iterator[str]:
    parts = [(part, f"{gib:.1f}", PARTS.get(part, "")) for part, gib in plan.memory_gib.items() if gib >= 0.05]
    return _columns([("memory of each GPU", "GiB", ""), *parts])


def _verdict(plan: Plan) -> str:
    spare = plan.machine.gpu_memory - plan.memory_gib["total"]
    if plan.fits:
        return f"fits, with {spare:.1f} GiB to spare"
    missing = f"does not fit: {-spare:.1f} GiB too much"
    if not plan.advice:
        return f"{missing}; nothing that this calculator knows makes it smaller"
    enough = plan.advice[-1].total_gib <= plan.machine.gpu_memory
    return f"{missing}; {'change, one after another' if enough else 'not even all of this is enough'}"


def _work(plan: Plan) -> Iterator[str]:
    rows, work, pairs = plan.rows, plan.work, plan.stage.kind == "dpo"
    epochs = f"{plan.stage.epochs:g} epoch{'s' if plan.stage.epochs != 1 else ''}"
    return _columns(
        [
            ("work", "", ""),
            ("rows an epoch", f"{rows.count:,}", "pairs" if pairs else ""),
            ("tokens a row", f"{rows.tokens:,.0f}", "each answer with its prompt" if pairs else ""),
            ("rows a step", f"{work.rows_per_step:,.1f}", "of all GPUs together"),
            ("steps", f"{work.steps:,}", epochs),
            (
                "tokens",
                f"{work.tokens:,.0f}",
                f"{rows.filled:.0%} of positions hold a token" if rows.filled else "padding not counted",
            ),
            ("operations", f"{work.flops:.3g}", "model FLOPs"),
        ]
    )


def _hours(plan: Plan) -> Iterator[str]:
    assumed = {name: value for name, value in plan.hours_at_assumed_mfu.items() if name != "mfu"}
    lines = [(device, f"{value:.1f}", "from a measured speed") for device, value in plan.hours_as_measured.items()]
    lines += [(name, f"{value:.1f}", f"at MFU {MFU:.2f}, assumed") for name, value in assumed.items()]
    if not lines:
        lines = [("-", "", "no GPU of this size is known here; name one by GPU=")]
    if plan.reported:
        lines.append(("reported", "", plan.reported))
    return _columns([("hours", "", ""), *lines])


def _columns(lines: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Lay out names, figures and notes."""
    lines = list(lines)
    names, figures = (max(len(line[column]) for line in lines) for column in (0, 1))
    for name, figure, note in lines:
        yield f"{name:<{names}}  {figure:>{figures}}  {note}".rstrip()
