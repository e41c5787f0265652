"""One stage of a recipe, trained for some steps in a process of its own, and what that took."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from dataset_builders.manifest import MANIFEST
from rabbit_ko.benchmarks.throughput import STEPS, Steps, read_steps, speed_of, utilisation
from rabbit_ko.benchmarks.train_config import Place, write_config
from rabbit_ko.benchmarks.train_rows import take_rows, write_rows
from rabbit_ko.benchmarks.train_table import EPOCHS, Trained
from rabbit_ko.errors import UserError
from rabbit_ko.planning.gpus import gpu_named
from rabbit_ko.planning.memory import GIB
from rabbit_ko.planning.rows import ROW_TOKENS, Rows, count_rows, measure_lengths, rows_of
from rabbit_ko.planning.shape import load_shape
from rabbit_ko.planning.stage import Stage, read_stage

# With a small shape, sequences and rows are shorter by this.
SHORTER = 4
# Room for the template around a generated row.
TEMPLATE = 64
TAIL = 30


@dataclass(frozen=True)
class Bench:
    """One call: where it works, how many steps count, how many are before them, and whether the shape is small.

    `attention` takes the place of the recipes' own.
    """

    folder: Path
    steps: int
    warmup: int
    small: bool
    attention: str | None = None


def built_data(stages: Sequence[Path], bench: Bench) -> Path | None:
    """Return the first folder of these stages' rows that is built; None where none is, or the shape is small."""
    folders = () if bench.small else (read_stage(path).data for path in stages)
    return next((folder for folder in folders if (folder / MANIFEST).exists()), None)


def measure_stage(path: Path, bench: Bench, data: Path | None) -> tuple[Trained, dict[str, Any]]:
    """Train on rows of `data`, generated ones without it; return the stage's line of the table and its JSON entry.

    Raises UserError where a process fails, whose output stays in a log.
    """
    written = read_stage(path)
    base = _base(path, written, bench)
    tokenizer = AutoTokenizer.from_pretrained(base)
    taken, source = _rows(written, tokenizer, bench, data)
    # As it is trained here.
    scale = SHORTER if bench.small else 1
    stage = replace(
        written,
        data=taken,
        sequence_len=written.sequence_len // scale,
        shape=load_shape(str(base)) if bench.small else written.shape,
    )
    counted = count_rows(replace(written, data=data or written.data))
    rows = rows_of(stage, measure_lengths(stage, tokenizer), counted)
    steps, changed = _train(path, stage, base, bench)
    return _result(stage, rows, steps, bench, {"rows_measured_on": source, "changed": changed})


def _result(
    stage: Stage, rows: Rows, steps: Steps, bench: Bench, notes: dict[str, Any]
) -> tuple[Trained, dict[str, Any]]:
    speed = speed_of(steps, bench.warmup, stage.epochs)
    mfu = utilisation(stage, speed, rows.context, gpu_named(steps.device), steps.gpus)
    hours = None if bench.small else speed.hours(rows.count, EPOCHS)
    recipe = stage.path.parent.name
    return Trained(recipe, stage.kind, speed, mfu, steps.peak_bytes, hours), {
        "recipe": recipe,
        "stage": stage.kind,
        "shape": "small" if bench.small else stage.shape.name,
        "parameters": stage.shape.parameters,
        "device": steps.device,
        "gpus": steps.gpus,
        "tokens_per_second": speed.positions,
        "peak_memory_gib": steps.peak_bytes / GIB,
        "mfu": mfu,
        f"hours_{EPOCHS}_epochs": hours,
        **notes,
        "rows": asdict(rows),
        "speed": asdict(speed),
        "steps": asdict(steps),
    }


def _base(path: Path, stage: Stage, bench: Bench) -> Path:
    """Return the random base, made in a process of its own, so that this one holds nothing on the GPU."""
    folder = bench.folder / f"base-{stage.shape.name}{'-small' if bench.small else ''}"
    if not (folder / "config.json").exists():
        command = [sys.executable, "-m", "rabbit_ko.benchmarks.random_base", str(path), str(folder)]
        _run(folder.name, [*command, *(["--small"] if bench.small else [])], bench)
    return folder


def _rows(stage: Stage, tokenizer: Any, bench: Bench, source: Path | None) -> tuple[Path, str]:
    """Return the folder of the rows, and what they are: some of the source's, generated without it."""
    scale = SHORTER if bench.small else 1
    # A packed sequence holds many rows. Pairs are as many as the steps take, since the reference reads all of them.
    packed = 1.1 * stage.batch.size * stage.sequence_len / ROW_TOKENS
    count = ceil((bench.steps + bench.warmup) * (packed if stage.packed else stage.batch.size))
    data, longest = bench.folder / f"rows-{stage.path.parent.name}", stage.sequence_len // scale - TEMPLATE
    if source:
        take_rows(source, data, stage.kind, count)
        known = len(tokenizer) >= stage.shape.vocab_size
        whose = "the base's tokenizer" if known else "the smoke recipe's tokenizer, which makes other lengths of them"
        return data, f"of {source}, with {whose}"
    write_rows(data, stage.kind, tokenizer, count, ROW_TOKENS / scale, longest)
    return data, f"generated, lognormal around {ROW_TOKENS / scale:g} tokens and the template"


def _train(path: Path, stage: Stage, base: Path, bench: Bench) -> tuple[Steps, list[str]]:
    """Return what the meter has written, and what of the recipe was changed."""
    name = f"{path.parent.name}-{stage.kind}"
    place = Place(base, stage.data, bench.folder / name, bench.steps + bench.warmup, stage.sequence_len)
    shutil.rmtree(place.output, ignore_errors=True)
    changed = write_config(path, place, torch.cuda.is_available(), bench.attention)
    _run(name, [sys.executable, "-m", "axolotl.cli.train", str(place.output / "config.yaml")], bench)
    for weights in place.output.glob("*.safetensors"):
        weights.unlink()
    return read_steps(place.output / STEPS), changed


def _run(name: str, command: list[str], bench: Bench) -> None:
    """Run a command with its output in a log; raises UserError behind the end of it where it fails."""
    log = bench.folder / f"{name}.log"
    print(f"{name}: running, its output goes to {log}", file=sys.stderr, flush=True)
    # Beside a second GPU, the trainer would split each batch over both within one process.
    settings = {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "0"}
    with log.open("w", encoding="utf-8") as file:
        ended = subprocess.run(command, env={**settings, **os.environ}, stdout=file, stderr=subprocess.STDOUT)
    if ended.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-TAIL:]), file=sys.stderr)
        errors = (line.strip() for line in reversed(lines) if "error: " in line.lower())
        raise UserError(f"{log}: exit {ended.returncode}: {next(errors, 'no error named')[:200]}; read that log")
