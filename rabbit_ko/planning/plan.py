"""A stage's plan: what it needs on a machine, what that rests on, and what to change where it does not fit."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import AliasPath, BaseModel, Field, TypeAdapter

from axolotl_plugins.processes import share
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError, reason
from rabbit_ko.methods import METHODS
from rabbit_ko.planning.memory import GIB, Sharding, advise, can_estimate, estimate
from rabbit_ko.planning.stage import Stage, read_stage
from rabbit_ko.planning.work import (
    GPUS,
    MFU,
    Rows,
    count_rows,
    count_test_rows,
    describe_rows,
    hours,
    row_lengths,
    work_of,
)
from rabbit_ko.recipes import RUNS, Recipe

# Behind the name of a recipe's fast variant.
FAST = "-fast"


class Measurement(BaseModel, validate_by_name=True, validate_by_alias=True):
    """One stage on one machine, as it stands under `results` in the benchmark's JSON.

    seconds_per_row: what all GPUs together take for a row in each epoch, with its padding; reference_seconds_per_row
    once a run for DPO's reference. row_tokens: the mean length of the sequences. peak_memory_gib: of the fullest GPU.
    """

    recipe: str
    stage: str
    device: str
    shape: str | None = None
    gpus: int = Field(default=1, ge=1)
    seconds_per_row: float = Field(validation_alias=AliasPath("speed", "seconds_per_row"), gt=0)
    reference_seconds_per_row: float = Field(
        validation_alias=AliasPath("speed", "reference_seconds_per_row"), default=0.0, ge=0
    )
    row_tokens: float | None = Field(validation_alias=AliasPath("rows", "tokens"), default=None)
    peak_memory_gib: float | None = None

    def hours(self, rows: int, epochs: float, gpus: int) -> float:
        """Return how long so many rows take; on another number of GPUs as if speed grew with it."""
        each = epochs * self.seconds_per_row + self.reference_seconds_per_row
        return rows * each / 3600 * self.gpus / gpus


def measured_file(recipe: str) -> Path:
    """Return where the benchmark writes what it has measured of a recipe and of its fast variant."""
    return RUNS / "bench" / "train" / f"{recipe.removesuffix(FAST)}.json"


def read_measurements(path: Path | None, stage: Stage) -> list[Measurement]:
    """Return what a file, or the benchmark's own, has of a stage with its own model. Raises UserError."""
    file = path or measured_file(stage.recipe)
    if not (path or file.exists()):
        return []
    try:
        results = TypeAdapter(list[Measurement]).validate_python(
            read_object(file, "`make bench WHAT=train` measures anew")["results"]
        )
    except (ValueError, LookupError) as error:
        raise UserError(f"{file}: no measurements: {reason(error)[:200]}") from None
    asked, shapes = (stage.recipe, stage.method.name), (None, stage.shape.name)
    return [one for one in results if (one.recipe, one.stage) == asked and one.shape in shapes]


def plan_stages(
    recipe: Recipe, rows: int | None, row_tokens: float | None, measured: Path | None, **machine: Any
) -> list[dict[str, Any]]:
    """Return `plan_stage` of each stage, on the rows that are given or known. Raises UserError."""
    if not recipe.methods:
        raise UserError(f"{recipe.folder}: no stage to plan: there is no {' or '.join(METHODS)} YAML in it")
    plans = []
    for stage in [read_stage(recipe.config(method.name)) for method in recipe.methods]:
        counted = (rows, "as you say") if rows else count_rows(stage)
        tests = count_test_rows(stage, counted[0])
        known = describe_rows(stage, [] if row_tokens else row_lengths(stage), counted, row_tokens, tests)
        plans.append(plan_stage(stage, known, read_measurements(measured, stage), **machine))
    return plans


def plan_stage(
    stage: Stage,
    rows: Rows,
    measured: list[Measurement],
    gpus: int,
    gpu_memory: float,
    sharding: Sharding,
    gpu: str | None = None,
) -> dict[str, Any]:
    """Return what a stage needs on GPUs of so many GiB, in the JSON form; UserError where it is not known."""
    if not can_estimate(stage, sharding):
        raise UserError(
            f"{stage.path}: load_in_4bit: a base in 4 bits is not estimated over {sharding}, which would gather its "
            "packed weights; ask for ddp or zero2"
        )
    on_each = stage.model_copy(update={"batch": share(stage.batch, gpus)})
    memory = {part: size / GIB for part, size in estimate(on_each, gpus, sharding).items()}
    advice = advise(on_each, gpus, sharding, gpu_memory)
    work = work_of(stage, rows)
    models = [one for name, one in GPUS.items() if (name == gpu if gpu else one.memory == gpu_memory)]
    given = {"stage": on_each, "batch": on_each.batch, "rows": rows, "work": work, "measured": measured, "gpus": gpus}
    return {
        "recipe": stage.recipe,
        "stage": stage,
        "trainable": stage.trainable,
        "machine": {"gpus": gpus, "gpu_memory": gpu_memory, "sharding": sharding, "gpu": gpu},
        "batch_of_each_gpu": on_each.batch,
        "memory_gib": memory,
        "fits": memory["total"] <= gpu_memory,
        "rows": rows,
        "work": work,
        "evaluation_share": work.evaluation_share,
        "hours_at_assumed_mfu": {"mfu": MFU, **{one.name: hours(work.flops, one, gpus) for one in models}},
        "hours_as_measured": {one.device: one.hours(rows.count, stage.epochs, gpus) for one in measured},
        "measured": measured,
        "advice": [{"change": change, "total_gib": total} for change, total in advice],
        "rests_on": _render("rests_on.txt.jinja", {**given, "mfu": MFU}).splitlines(),
    }


def as_text(plan: dict[str, Any]) -> str:
    """Return a plan for the terminal: three short tables, what they rest on, and advice where it does not fit."""
    return _render("plan.txt.jinja", plan).rstrip("\n")


def _render(template: str, values: dict[str, Any]) -> str:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["columns"] = _columns
    return environment.get_template(template).render(values)


def _columns(text: str) -> str:
    """Lay out lines of `name|figure|note`."""
    lines = [(*line.split("|"), "", "")[:3] for line in text.splitlines()]
    names, figures = (max(len(line[column]) for line in lines) for column in (0, 1))
    return "".join(f"{name:<{names}}  {figure:>{figures}}  {note}".rstrip() + "\n" for name, figure, note in lines)
