"""Training speed of a recipe beside its fast one: axolotl's own trainer, the model's true shape, random weights.

    python -m benchmarks.train aog-8b --steps 20

Each configuration is a process of its own on one GPU, with the recipe's YAML but for the keys in
`benchmarks/train_config.py`. Without a GPU the shape is small, rows are shorter, and no hours are projected.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import AutoTokenizer

from benchmarks.machine import describe
from benchmarks.meter import STEPS
from benchmarks.throughput import MFU_FORMULA, read_steps, speed_of, utilisation
from benchmarks.train_config import Place, write_config
from benchmarks.train_rows import write_rows
from benchmarks.train_table import EPOCHS, Trained, draw, stage_table
from dataset_builders.command_line import told
from dataset_builders.errors import UserError
from dataset_builders.manifest import MANIFEST
from planning.cards import card_named
from planning.memory import GIB
from planning.rows import ROW_TOKENS, count_rows, measure_lengths, rows_of
from planning.shape import load_shape
from planning.stage import Stage, read_stage

RECIPES, FAST = Path("axolotl_configs"), "-fast"
PACKAGES = ("axolotl", "torch", "transformers", "trl", "peft", "liger-kernel")
# Of a small shape, sequences and rows are shorter by this.
SHORTER = 4
TAIL = 30


@dataclass(frozen=True)
class Bench:
    """One call: where it works, how many steps it takes, the first of them to warm up, and whether it is the small one."""

    folder: Path
    steps: int
    warmup: int
    small: bool

    @property
    def all_steps(self) -> int:
        return self.steps + self.warmup


def benchmark(
    recipe: Annotated[str, typer.Argument(help="a recipe that has a fast one beside it")] = "aog-8b",
    steps: Annotated[int, typer.Option(min=1, help="optimizer steps that count")] = 20,
    warmup: Annotated[int, typer.Option(min=1, help="steps before them")] = 5,
    stage: Annotated[list[str] | None, typer.Option(help="sft or dpo; again for both, which is the default")] = None,
    small: Annotated[
        bool | None, typer.Option("--small/--true-shape", help="the shape; small where there is no GPU")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the base, the logs and the results")] = Path("runs/bench/train"),
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
) -> None:
    """Train with both recipes for some steps; print a table, and write it as JSON with a plot."""
    with told(debug):
        bench = Bench(out, steps, warmup, not torch.cuda.is_available() if small is None else small)
        pairs = _pairs(recipe.removesuffix(FAST), stage or ["sft", "dpo"])
        results = [[_measure(path, bench) for path in pair] for pair in pairs]
        _publish(recipe.removesuffix(FAST), bench, results)


def _pairs(recipe: str, stages: list[str]) -> list[tuple[Path, Path]]:
    """Return the stages that a recipe shares with its fast one; raises UserError where there are none."""
    pairs = [(RECIPES / recipe / f"{name}.yaml", RECIPES / f"{recipe}{FAST}" / f"{name}.yaml") for name in stages]
    found = [(plain, fast) for plain, fast in pairs if plain.is_file() and fast.is_file()]
    if not found:
        raise UserError(
            f"{RECIPES}: no {' or '.join(stages)} that {recipe} and {recipe}{FAST} both have; name aog-8b or rabbit-ko-3b"
        )
    return found


def _measure(path: Path, bench: Bench) -> tuple[Trained, dict[str, Any]]:
    """Run one stage; return its line of the table and its entry in the JSON."""
    stage = read_stage(path)
    base = _base(path, stage, bench)
    tokenizer = AutoTokenizer.from_pretrained(base)
    data, source = _rows(stage, tokenizer, bench)
    name = f"{path.parent.name}-{stage.kind}"
    place = Place(
        base, data, bench.folder / name, bench.all_steps, stage.sequence_len // SHORTER if bench.small else None
    )
    shutil.rmtree(place.output, ignore_errors=True)
    said = write_config(path, place, torch.cuda.is_available())
    _run(name, [sys.executable, "-m", "axolotl.cli.train", str(place.output / "config.yaml")], bench)
    steps = read_steps(place.output / STEPS)
    for large in place.output.glob("*.safetensors"):
        large.unlink()
    trained = replace(stage, data=data, shape=load_shape(str(base)) if bench.small else stage.shape)
    lengths = rows_of(trained, measure_lengths(trained, tokenizer), (0, source))
    speed = speed_of(steps, bench.warmup, stage.epochs)
    mfu = utilisation(trained, speed, lengths.context, card_named(steps.device), steps.gpus)
    rows, rows_from = count_rows(stage)
    hours = None if bench.small else speed.hours(rows, EPOCHS)
    line = Trained(path.parent.name, stage.kind, speed, mfu, steps.peak_bytes, hours)
    return line, {
        "recipe": line.recipe,
        "stage": stage.kind,
        "shape": "small" if bench.small else stage.shape.name,
        "parameters": trained.shape.parameters,
        "device": steps.device,
        "gpus": steps.gpus,
        "tokens_per_second": speed.positions,
        "peak_memory_gib": steps.peak_bytes / GIB,
        "reserved_memory_gib": steps.reserved_bytes and steps.reserved_bytes / GIB,
        "mfu": mfu,
        f"hours_{EPOCHS}_epochs": hours,
        "rows": rows,
        "rows_from": rows_from,
        "rows_measured_on": source,
        "tokens_a_row": lengths.tokens,
        "context": lengths.context,
        "changed": said,
        "speed": asdict(speed),
        "steps": asdict(steps),
    }


def _base(path: Path, stage: Stage, bench: Bench) -> Path:
    """Return the random base, made in a process of its own, so that this one holds nothing on the GPU."""
    folder = bench.folder / f"base-{stage.shape.name}{'-small' if bench.small else ''}"
    if not (folder / "config.json").exists():
        bench.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.random_base", str(path), str(folder)]
        _run(folder.name, [*command, *(["--small"] if bench.small else [])], bench)
    return folder


def _rows(stage: Stage, tokenizer: Any, bench: Bench) -> tuple[Path, str]:
    """Return the folder of the rows, and what they are: the recipe's own where they are built, else generated ones."""
    if (stage.data / MANIFEST).exists() and not bench.small:
        return stage.data, f"{stage.data}, with {_whose(tokenizer, stage)}"
    scale = SHORTER if bench.small else 1
    longest, mean = stage.sequence_len // scale, ROW_TOKENS / scale
    # Packed sequences hold more rows. Those of DPO are counted, since the reference reads all of them.
    packed = stage.batch.size * stage.sequence_len / ROW_TOKENS
    a_step = packed * 1.1 if stage.packed else stage.batch.size
    data = bench.folder / f"rows-{stage.path.parent.name}"
    # Room for the template around a row.
    write_rows(data, stage.kind, tokenizer, ceil(bench.all_steps * a_step), mean, longest - 64)
    return data, f"generated, lognormal around {mean:g} tokens a row"


def _whose(tokenizer: Any, stage: Stage) -> str:
    known = len(tokenizer) >= stage.shape.vocab_size
    return "the base's tokenizer" if known else "the smoke recipe's tokenizer, which makes other lengths of them"


def _run(name: str, command: list[str], bench: Bench) -> None:
    """Run a command with its output in a log; raises UserError with the end of it where it fails."""
    print(f"{name}: running", file=sys.stderr, flush=True)
    # More GPUs than one would make axolotl's trainer split each batch within one process.
    quiet = {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "0"}
    log = bench.folder / f"{name}.log"
    with log.open("w", encoding="utf-8") as file:
        code = subprocess.run(command, env={**quiet, **os.environ}, stdout=file, stderr=subprocess.STDOUT).returncode
    if code:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
        print("\n".join(last), file=sys.stderr)
        raise UserError(f"{log}: exit {code}; see its end above")


def _publish(recipe: str, bench: Bench, results: list[list[tuple[Trained, dict[str, Any]]]]) -> None:
    entries = [entry for pair in results for _, entry in pair]
    machine = describe(*PACKAGES)
    about = f"{bench.steps} steps after {bench.warmup} to warm up; {'small shape' if bench.small else entries[0]['shape']}"
    print(f"{machine}\n{about}\n{MFU_FORMULA}")
    for pair in results:
        print(f"\n{stage_table([line for line, _ in pair])}\n")
        for line, entry in pair:
            changed = "; ".join(entry["changed"]) or "nothing but paths, steps, evaluation and checkpoints"
            print(f"`{line.recipe}` {line.stage}: rows {entry['rows_measured_on']}; changed: {changed}")
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "about": about,
        "mfu": MFU_FORMULA,
        "results": entries,
    }
    file = bench.folder / f"{recipe}.json"
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    plot = draw([line for pair in results for line, _ in pair], f"{entries[0]['device']}, {about}")
    if plot:
        file.with_suffix(".png").write_bytes(plot)
    drawn = file.with_suffix(".png").name if plot else "no plot without matplotlib"
    print(f"\n{file}, {drawn}", file=sys.stderr)


if __name__ == "__main__":
    typer.run(benchmark)
