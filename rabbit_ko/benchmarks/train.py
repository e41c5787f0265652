"""Training speed of a recipe beside its fast one: axolotl's own trainer, the model's true shape, random weights.

    python -m rabbit_ko.benchmarks.train aog-8b --steps 20

Each configuration is a process of its own on one GPU, with the recipe's YAML but for the keys in
`train_config.py`. Without a GPU the shape is small, rows are shorter, and no hours are projected.
"""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from rabbit_ko.benchmarks.machine import describe
from rabbit_ko.benchmarks.throughput import MFU_FORMULA
from rabbit_ko.benchmarks.train_run import Bench, built_data, measure_stage
from rabbit_ko.benchmarks.train_table import Failed, Trained, draw, stage_table
from rabbit_ko.command_line import told
from rabbit_ko.errors import UserError
from rabbit_ko.planning.stage import read_stage

RECIPES, FAST = Path("axolotl_configs"), "-fast"
PACKAGES = ("axolotl", "torch", "transformers", "trl", "peft", "liger-kernel")

Measured = tuple[Trained | Failed, dict[str, Any]]


def benchmark(
    recipe: Annotated[str, typer.Argument(help="a recipe that has a fast one beside it")] = "aog-8b",
    steps: Annotated[int, typer.Option(min=1, help="optimizer steps that count")] = 20,
    warmup: Annotated[int, typer.Option(min=1, help="steps before them")] = 5,
    stage: Annotated[list[str] | None, typer.Option(help="sft or dpo; again for both, as without it")] = None,
    small: Annotated[bool | None, typer.Option("--small/--true-shape", help="small where there is no GPU")] = None,
    attention: Annotated[str | None, typer.Option(help="such as sdpa, in the place of the recipes' own")] = None,
    out: Annotated[Path, typer.Option(help="folder for bases of up to 16 GB, logs and results")] = (
        Path("runs/bench/train")
    ),
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
) -> None:
    """Train with both recipes for some steps; print a table, and write it as JSON with a plot.

    Each measurement is written when it is there. One that fails is a line with dashes, and the exit code is 1 then.
    """
    with told(debug):
        bench = Bench(out, steps, warmup, not torch.cuda.is_available() if small is None else small, attention)
        plain = recipe.removesuffix(FAST)
        pairs = _pairs(plain, stage or ["sft", "dpo"])
        out.mkdir(parents=True, exist_ok=True)
        _run(pairs, bench, out / f"{plain}.json")


def _pairs(recipe: str, stages: list[str]) -> list[tuple[Path, Path]]:
    """Return the stages that a recipe shares with its fast one; raises UserError where there are none."""
    pairs = [(RECIPES / recipe / f"{name}.yaml", RECIPES / f"{recipe}{FAST}" / f"{name}.yaml") for name in stages]
    found = [(plain, fast) for plain, fast in pairs if plain.is_file() and fast.is_file()]
    if not found:
        asked = " and no ".join(f"{name}.yaml" for name in stages)
        raise UserError(f"{RECIPES}: no {asked} both in {recipe} and in {recipe}{FAST}; name another recipe or stage")
    return found


def _run(pairs: list[tuple[Path, Path]], bench: Bench, file: Path) -> None:
    """Measure pair after pair on the same rows; raises UserError in the end where some have failed."""
    about = _about(pairs[0][0], bench)
    print(f"{describe(*PACKAGES)}\n{about}\n{MFU_FORMULA}", flush=True)
    results: list[Measured] = []
    for pair in pairs:
        data = built_data(pair, bench)
        for path in pair:
            results.append(_measure(path, bench, data))
            _write(file, about, results)
        _show(results[-len(pair) :])
    failed = sum(isinstance(line, Failed) for line, _ in results)
    if failed:
        raise UserError(f"{file}: {failed} of {len(results)} failed; see below the tables why, and run those again")


def _measure(path: Path, bench: Bench, data: Path | None) -> Measured:
    """Measure a stage; one that fails is a line too, so that the others go on."""
    try:
        return measure_stage(path, bench, data)
    except UserError as error:
        failed = Failed(path.parent.name, path.stem, str(error))
        return failed, asdict(failed)


def _about(stage: Path, bench: Bench) -> str:
    shape = "small" if bench.small else read_stage(stage).shape.name
    return f"{bench.steps} steps after {bench.warmup} to warm up, shape {shape}"


def _show(pair: list[Measured]) -> None:
    """Print the table of one stage, and below it what each line rests on or why it failed."""
    print(f"\n{stage_table([line for line, _ in pair])}\n")
    for line, entry in pair:
        if isinstance(line, Failed):
            said = f"failed: {line.reason}"
        else:
            changed = "; ".join(entry["changed"]) or "nothing but paths, steps, evaluation and checkpoints"
            said = f"rows {entry['rows_measured_on']}; changed: {changed}"
        print(f"- `{line.recipe}` {line.stage}: {said}", flush=True)


def _write(file: Path, about: str, results: list[Measured]) -> None:
    """Write all so far as JSON beside a plot; where nothing is finished, a file from before stays as it is."""
    lines = [line for line, _ in results if isinstance(line, Trained)]
    finished = [entry for line, entry in results if isinstance(line, Trained)]
    if not finished:
        return
    date, machine = datetime.now(UTC).date().isoformat(), describe(*PACKAGES)
    content = {"date": date, "machine": machine, "about": about, "mfu": MFU_FORMULA, "results": finished}
    content["failed"] = [entry for line, entry in results if isinstance(line, Failed)]
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    plot = draw(lines, f"{finished[0]['device']}, {about}")
    if plot:
        file.with_suffix(".png").write_bytes(plot)
    drawn = file.with_suffix(".png").name if plot else "no plot without matplotlib"
    print(f"{file}, {drawn}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(benchmark)
