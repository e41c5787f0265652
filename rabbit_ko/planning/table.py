"""A plan as text: three short tables, what they rest on, and what to change where it does not fit."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rabbit_ko.planning.memory import GIB, Memory
from rabbit_ko.planning.plan import Plan, assumptions
from rabbit_ko.planning.work import MFU

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


def render(plan: Plan) -> Group:
    """Lay out a plan for the terminal."""
    parts: list[RenderableType] = [Text(line) for line in _head(plan)]
    parts += [Text(), _memory(plan.memory), Text(_verdict(plan))]
    steps = enumerate(plan.advice, start=1)
    parts += [Text(f"  {number}. {step.change}: {step.total / GIB:.1f} GiB") for number, step in steps]
    parts += [Text(f"  measured on {name}: {peak:.1f} GiB") for name, peak in _peaks(plan)]
    parts += [Text(), _work(plan), Text(), _hours(plan), Text(), Text("rests on")]
    parts += [Text(f"  {line}") for line in assumptions(plan)]
    return Group(*parts)


def _head(plan: Plan) -> Iterator[str]:
    stage, machine = plan.stage, plan.machine
    trained = f"LoRA of rank {stage.rank}, {stage.trainable:,} weights" if stage.rank else "all weights"
    bits = ", the base in 4 bits" if stage.four_bit else ""
    yield f"{plan.recipe} {stage.kind}: {stage.shape.name}, {stage.shape.parameters:,} weights; {trained}{bits}"
    plural = "s" if machine.gpus > 1 else ""
    batch = f"{plan.part.micro_batch_size} x {plan.part.gradient_accumulation_steps}"
    yield f"{machine.gpus} GPU{plural} of {machine.gpu_memory:g} GiB, {machine.sharding}; batch of each: {batch}"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place == 1 else "left", no_wrap=place < 2)
    return table


def _memory(memory: Memory) -> Table:
    table = _table("memory of each GPU", "GiB", "")
    for name, value in memory.gib().items():
        if value >= 0.05:
            table.add_row(name, f"{value:.1f}", PARTS.get(name, ""))
    return table


def _verdict(plan: Plan) -> str:
    if plan.spare >= 0:
        return f"fits, with {plan.spare / GIB:.1f} GiB to spare"
    missing = f"does not fit: {-plan.spare / GIB:.1f} GiB too much"
    if not plan.advice:
        return f"{missing}; nothing that this calculator knows makes it smaller"
    enough = plan.advice[-1].total <= plan.machine.gpu_memory * GIB
    return f"{missing}; {'change, one after another' if enough else 'not even all of this is enough'}"


def _peaks(plan: Plan) -> list[tuple[str, float]]:
    return [(result.device, result.peak_memory_gib) for result in plan.measured if result.peak_memory_gib]


def _work(plan: Plan) -> Table:
    rows, work = plan.rows, plan.work
    share = f"{rows.filled:.0%} of positions hold a token" if rows.filled else "padding not counted"
    table = _table("work", "", "")
    table.add_row("rows an epoch", f"{rows.count:,}", "pairs" if plan.stage.kind == "dpo" else "")
    table.add_row(
        "tokens a row", f"{rows.tokens:,.0f}", "each answer with its prompt" if plan.stage.kind == "dpo" else ""
    )
    table.add_row("rows a step", f"{work.rows_per_step:,.1f}", "of all GPUs together")
    table.add_row("steps", f"{work.steps:,}", f"{plan.stage.epochs:g} epoch{'s' if plan.stage.epochs != 1 else ''}")
    table.add_row("tokens", f"{work.tokens:,.0f}", share)
    table.add_row("operations", f"{work.flops:.3g}", "model FLOPs")
    return table


def _hours(plan: Plan) -> Table:
    table = _table("hours", "", "")
    for name, value in plan.measured_hours.items():
        table.add_row(name, f"{value:.1f}", "from a measured speed")
    for name, value in plan.hours.items():
        table.add_row(name, f"{value:.1f}", f"at MFU {MFU:.2f}, assumed")
    if not plan.hours and not plan.measured_hours:
        table.add_row("-", "", "no gpu of this size is known here; name one by GPU=")
    if plan.reported:
        table.add_row("reported", "", plan.reported)
    return table
