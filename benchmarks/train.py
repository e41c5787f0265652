"""Training speed of a recipe beside its fast one: axolotl's own trainer, the model's true shape, random weights.

    python -m benchmarks.train aog-8b --steps 20

Each configuration is a process of its own on one GPU, with the recipe's YAML but for the keys in
`benchmarks/train_config.py`. Without a GPU the shape is small, rows are shorter, and no hours are projected.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.machine import describe
from benchmarks.throughput import MFU_FORMULA
from benchmarks.train_run import Bench, measure_stage
from benchmarks.train_table import Trained, draw, stage_table
from dataset_builders.command_line import told
from dataset_builders.errors import UserError

RECIPES, FAST = Path("axolotl_configs"), "-fast"
PACKAGES = ("axolotl", "torch", "transformers", "trl", "peft", "liger-kernel")

Results = list[list[tuple[Trained, dict[str, Any]]]]


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
    """Train with both recipes for some steps; print a table, and write it as JSON with a plot."""
    with told(debug):
        bench = Bench(out, steps, warmup, not torch.cuda.is_available() if small is None else small, attention)
        plain = recipe.removesuffix(FAST)
        pairs = _pairs(plain, stage or ["sft", "dpo"])
        out.mkdir(parents=True, exist_ok=True)
        _publish(out / f"{plain}.json", bench, [[measure_stage(path, bench) for path in pair] for pair in pairs])


def _pairs(recipe: str, stages: list[str]) -> list[tuple[Path, Path]]:
    """Return the stages that a recipe shares with its fast one; raises UserError where there are none."""
    pairs = [(RECIPES / recipe / f"{name}.yaml", RECIPES / f"{recipe}{FAST}" / f"{name}.yaml") for name in stages]
    found = [(plain, fast) for plain, fast in pairs if plain.is_file() and fast.is_file()]
    if not found:
        asked = " and no ".join(f"{name}.yaml" for name in stages)
        raise UserError(f"{RECIPES}: no {asked} both in {recipe} and in {recipe}{FAST}; name another recipe or stage")
    return found


def _publish(file: Path, bench: Bench, results: Results) -> None:
    """Print the tables, and write them with all that they come from beside a plot."""
    lines, entries = zip(*(measured for pair in results for measured in pair), strict=True)
    machine, shape = describe(*PACKAGES), entries[0]["shape"]
    about = f"{bench.steps} steps after {bench.warmup} to warm up, shape {shape}"
    print(f"{machine}\n{about}\n{MFU_FORMULA}")
    for pair in results:
        print(f"\n{stage_table([line for line, _ in pair])}\n")
        for line, entry in pair:
            changed = "; ".join(entry["changed"]) or "nothing but paths, steps, evaluation and checkpoints"
            print(f"- `{line.recipe}` {line.stage}: rows {entry['rows_measured_on']}; changed: {changed}")
    content = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "about": about, "mfu": MFU_FORMULA}
    file.write_text(json.dumps({**content, "results": entries}, indent=2) + "\n", encoding="utf-8")
    plot = draw(lines, f"{entries[0]['device']}, {about}")
    if plot:
        file.with_suffix(".png").write_bytes(plot)
    drawn = file.with_suffix(".png").name if plot else "no plot without matplotlib"
    print(f"\n{file}, {drawn}", file=sys.stderr)


if __name__ == "__main__":
    typer.run(benchmark)
