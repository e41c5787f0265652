"""Training speed of a recipe beside its fast variant: axolotl's own trainer, the model's true shape, random weights.

Each configuration is a process of its own on one GPU, with the recipe's YAML but for what `training_setup.py` has to
change. Without a GPU the shape is small, rows are shorter, and no hours are projected.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from dataset_builders.manifest import MANIFEST
from rabbit_ko.benchmarks.report import DASH, describe_machine, markdown_table
from rabbit_ko.benchmarks.training_setup import (
    SHORTER,
    STEPS,
    Bench,
    prepare_base,
    prepare_rows,
    run_logged,
    write_config,
)
from rabbit_ko.errors import UserError
from rabbit_ko.planning.memory import GIB
from rabbit_ko.planning.model_shape import load_shape
from rabbit_ko.planning.speed import FAST, Gpu, gpu_named, row_hours
from rabbit_ko.planning.stage import Stage, read_stage
from rabbit_ko.planning.work import Rows, count_rows, describe_rows, row_lengths, token_flops
from rabbit_ko.recipes import CONFIGS

PACKAGES = ("axolotl", "torch", "transformers", "trl", "peft", "liger-kernel")
EPOCHS = 3
MFU_FORMULA = (
    "MFU = positions/s x FLOPs of a position / (GPUs x stated dense bf16 FLOP/s). FLOPs of a position: with LoRA "
    "4 a frozen weight and 6 an adapter's, without it 6 a weight, of all weights but the embedding; attention "
    "6 x layers x query width x context; for DPO also 2 a weight and a third of that attention, for the reference. "
    "Context is the length of the row that an average token stands in. Recomputation does not count."
)
HEADINGS = (
    "",
    "tokens/s against the first",
    "tokens/s",
    "trained tokens/s",
    "with padding",
    "rows/s",
    "padding",
    "MFU",
    "peak memory",
    f"hours for {EPOCHS} epochs",
)


@dataclass(frozen=True)
class Steps:
    """What the meter wrote: a list has a value for each step, or for each batch of the reference pass.

    positions count padding, tokens do not; of them `trained` have a label. Of a pair both answers count. The time of
    the last reference batch is not known.
    """

    seconds: list[float]
    positions: list[int]
    tokens: list[int]
    trained: list[int]
    rows: list[int]
    reference_seconds: list[float]
    reference_rows: list[int]
    device: str
    peak_bytes: int


@dataclass(frozen=True)
class Speed:
    """What is done in a second; the reference pass of DPO is shared out to the epochs of the recipe."""

    positions: float
    tokens: float
    trained: float
    rows: float
    padding: float
    seconds_per_row: float
    reference_seconds_per_row: float


@dataclass(frozen=True)
class Trained:
    """One stage as it was measured, under the names of the JSON form; hours are for all rows, of the true shape."""

    recipe: str
    stage: str
    shape: str
    device: str
    gpus: int
    peak_memory_gib: float
    mfu: float | None
    hours_3_epochs: float | None
    rows_measured_on: str
    changed: list[str]
    rows: Rows
    speed: Speed
    steps: Steps


@dataclass(frozen=True)
class Failed:
    """One stage that could not be measured, and why, in a line."""

    recipe: str
    stage: str
    reason: str


def bench_training(recipe: str, stages: Sequence[str], bench: Bench, file: Path) -> None:
    """Train a recipe and its fast variant for some steps on the same rows; print tables, and write them as JSON.

    Each measurement is written when it is there, and one that fails is a line with dashes. Raises UserError where
    there are no such two recipes, and in the end where a stage has failed.
    """
    plain = recipe.removesuffix(FAST)
    pairs = [[CONFIGS / name / f"{stage}.yaml" for name in (plain, f"{plain}{FAST}")] for stage in stages]
    pairs = [pair for pair in pairs if all(path.is_file() for path in pair)]
    if not pairs:
        asked = " and no ".join(f"{stage}.yaml" for stage in stages)
        raise UserError(f"{CONFIGS}: no {asked} both in {plain} and in {plain}{FAST}; name another recipe or stage")
    shape = "small" if bench.small else read_stage(pairs[0][0]).shape.name
    about = f"{bench.steps} steps after {bench.warmup} to warm up, shape {shape}"
    print(f"{describe_machine(*PACKAGES)}\n{about}\n{MFU_FORMULA}", flush=True)
    results: list[Trained | Failed] = []
    for pair in pairs:
        data = built_data(pair, bench)
        for path in pair:
            try:
                results.append(measure_stage(path, bench, data))
            except UserError as error:
                results.append(Failed(path.parent.name, path.stem, str(error)))
            _write(file, about, results)
        print(f"\n{stage_table(results[-2:])}\n\n" + "\n".join(map(_note, results[-2:])), flush=True)
    failed = sum(isinstance(result, Failed) for result in results)
    if failed:
        raise UserError(f"{file}: {failed} of {len(results)} failed; see below the tables why, and run those again")


def built_data(stages: Sequence[Path], bench: Bench) -> Path | None:
    """Return the first folder of these stages' rows that is built; None where none is, or the shape is small."""
    folders = () if bench.small else (read_stage(path).data for path in stages)
    return next((folder for folder in folders if (folder / MANIFEST).exists()), None)


def measure_stage(path: Path, bench: Bench, data: Path | None) -> Trained:
    """Train on rows of `data`, or on generated ones, and return what was measured.

    Raises UserError where a process fails, whose output stays in a log.
    """
    written = read_stage(path)
    base = prepare_base(written, bench)
    changes: dict[str, Any] = {"data": bench.folder / f"rows-{written.recipe}"}
    if bench.small:
        changes |= {"sequence_len": written.sequence_len // SHORTER, "shape": load_shape(str(base))}
    stage, tokenizer = written.model_copy(update=changes), AutoTokenizer.from_pretrained(base)
    rows_from = prepare_rows(stage, tokenizer, bench, data)
    counted = count_rows(written.model_copy(update={"data": data}) if data else written)
    rows = describe_rows(stage, row_lengths(stage, tokenizer), counted)
    steps, changed = _train(stage, base, bench)
    return result_of(stage, rows, steps, bench, rows_from, changed)


def _train(stage: Stage, base: Path, bench: Bench) -> tuple[Steps, list[str]]:
    """Return what the meter has written, and what of the recipe was changed."""
    name = f"{stage.recipe}-{stage.method.name}"
    folder = bench.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    run = {
        "base_model": str(base),
        "path": str(stage.data / stage.kind),
        "dataset_prepared_path": str(folder / "prepared"),
        "output_dir": str(folder),
        "max_steps": bench.steps + bench.warmup,
        "sequence_len": stage.sequence_len,
    }
    changed = write_config(stage.path, run, torch.cuda.is_available(), bench.attention)
    run_logged(name, [sys.executable, "-m", "axolotl.cli.train", str(folder / "config.yaml")], bench)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    return Steps(**json.loads((folder / STEPS).read_text(encoding="utf-8"))), changed


def result_of(stage: Stage, rows: Rows, steps: Steps, bench: Bench, rows_from: str, changed: list[str]) -> Trained:
    """Put together what was measured of a stage."""
    speed = speed_of(steps, bench.warmup, stage.epochs)
    whole = row_hours(rows.count, EPOCHS, speed.seconds_per_row, speed.reference_seconds_per_row)
    return Trained(
        recipe=stage.recipe,
        stage=stage.method.name,
        shape="small" if bench.small else stage.shape.name,
        device=steps.device,
        gpus=1,
        peak_memory_gib=steps.peak_bytes / GIB,
        mfu=utilisation(stage, speed, rows.context, gpu_named(steps.device)),
        hours_3_epochs=None if bench.small else whole,
        rows_measured_on=rows_from,
        changed=changed,
        rows=rows,
        speed=speed,
        steps=steps,
    )


def speed_of(steps: Steps, warmup: int, epochs: float) -> Speed:
    """Return the speed behind the first `warmup` steps, and as many batches of the reference pass."""
    seconds, rows = sum(steps.seconds[warmup:]), sum(steps.rows[warmup:])
    positions, tokens = sum(steps.positions[warmup:]), sum(steps.tokens[warmup:])
    reference_rows = sum(steps.reference_rows[warmup:-1])
    reference = sum(steps.reference_seconds[warmup:]) / reference_rows if reference_rows else 0.0
    whole = seconds + rows * reference / epochs
    return Speed(
        positions=positions / whole,
        tokens=tokens / whole,
        trained=sum(steps.trained[warmup:]) / whole,
        rows=rows / whole,
        padding=1 - tokens / positions,
        seconds_per_row=seconds / rows,
        reference_seconds_per_row=reference,
    )


def utilisation(stage: Stage, speed: Speed, context: float, gpu: Gpu | None) -> float | None:
    """Return the MFU of one GPU, as `MFU_FORMULA` has it; None where the GPU's stated speed is not known."""
    return speed.positions * token_flops(stage, context) / (gpu.teraflops * 1e12) if gpu else None


def stage_table(results: Sequence[Trained | Failed]) -> str:
    """Compare the configurations of one stage, the first of which is the plain one."""
    return markdown_table(HEADINGS, [_line(result, results[0]) for result in results])


def _line(result: Trained | Failed, first: Trained | Failed) -> list[str]:
    name = f"`{result.recipe}` {result.stage}"
    if isinstance(result, Failed):
        return [name, *[DASH] * (len(HEADINGS) - 1)]
    speed = result.speed
    return [
        name,
        DASH if isinstance(first, Failed) else f"{speed.tokens / first.speed.tokens:.2f}",
        *(f"{number:,.0f}" for number in (speed.tokens, speed.trained, speed.positions)),
        f"{speed.rows:,.1f}",
        f"{speed.padding:.1%}",
        DASH if result.mfu is None else f"{result.mfu:.1%}",
        f"{result.peak_memory_gib:,.1f} GiB",
        DASH if result.hours_3_epochs is None else f"{result.hours_3_epochs:,.1f}",
    ]


def _note(result: Trained | Failed) -> str:
    """Say what a line of the table rests on, or why it failed."""
    if isinstance(result, Failed):
        return f"- `{result.recipe}` {result.stage}: failed: {result.reason}"
    changed = "; ".join(result.changed) or "nothing but paths, steps, evaluation and checkpoints"
    return f"- `{result.recipe}` {result.stage}: rows {result.rows_measured_on}; changed: {changed}"


def _write(file: Path, about: str, results: Sequence[Trained | Failed]) -> None:
    """Write all so far as JSON; where nothing is finished, a file from before stays as it is."""
    finished, failed = ([asdict(one) for one in results if isinstance(one, kind)] for kind in (Trained, Failed))
    if finished:
        about_all = {"date": datetime.now(UTC).date().isoformat(), "machine": describe_machine(*PACKAGES)}
        content = {**about_all, "about": about, "mfu": MFU_FORMULA, "results": finished, "failed": failed}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
