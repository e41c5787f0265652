"""Say what a recipe's stages will need.

python -m rabbit_ko.planning axolotl_configs/aog-8b --gpus 1 --gpu-memory 80
python -m rabbit_ko.planning axolotl_configs/rabbit-ko-3b-fast --gpus 8 --gpu-memory 24 --sharding zero3 --json
"""

import json
import math
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rabbit_ko.errors import UserError, reason
from rabbit_ko.planning.gpus import GPUS
from rabbit_ko.planning.measured import read_measurements
from rabbit_ko.planning.memory import Sharding
from rabbit_ko.planning.plan import Machine, Plan, make_plan
from rabbit_ko.planning.stage import read_stage
from rabbit_ko.planning.table import render

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
WIDTH = 120


def _finite(value: float | None) -> float | None:
    """Refuse nan, which is not below any minimum, and infinity."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no size; give a number")
    return value


@app.command()
def plan(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="a folder such as axolotl_configs/aog-8b")],
    gpus: Annotated[int, typer.Option(min=1, help="GPUs, on all machines together")] = 1,
    gpu_memory: Annotated[float, typer.Option(min=1, callback=_finite, help="GiB of each GPU")] = 80.0,
    sharding: Annotated[Sharding, typer.Option(help="how the run is spread over the GPUs")] = "ddp",
    gpu: Annotated[str | None, typer.Option(help=f"hours for one of {', '.join(GPUS)}")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="training rows, if you know better")] = None,
    row_tokens: Annotated[
        float | None, typer.Option(min=1, callback=_finite, help="tokens of a row, if you know better")
    ] = None,
    measured: Annotated[Path | None, typer.Option(help="a JSON file of measured speeds")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print all figures as JSON")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False,
) -> None:
    """Estimate memory, steps, tokens and hours of RECIPE's stages, and say what the figures rest on."""
    if gpu is not None and gpu not in GPUS:
        raise typer.BadParameter(f"`{gpu}` is none of {', '.join(GPUS)}", param_hint="--gpu")
    try:
        machine = Machine(gpus, gpu_memory, sharding, gpu)
        plans = [_plan(path, machine, (rows, row_tokens), measured) for path in _stages(recipe)]
    except (UserError, OSError, KeyboardInterrupt) as error:
        if debug:
            raise
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else reason(error)
        typer.echo(f"error: {said}", err=True)
        raise typer.Exit(1) from None
    _print(plans, as_json)


def _stages(recipe: Path) -> list[Path]:
    """Return a recipe's stages, in order; raises UserError where it has none."""
    stages = [path for path in (recipe / "sft.yaml", recipe / "dpo.yaml") if path.is_file()]
    if not stages:
        raise UserError(f"{recipe}: no sft.yaml and no dpo.yaml there; name a recipe's folder")
    return stages


def _plan(path: Path, machine: Machine, given: tuple[int | None, float | None], measured: Path | None) -> Plan:
    stage = read_stage(path)
    return make_plan(stage, machine, given, read_measurements(measured, stage))


def _print(plans: list[Plan], as_json: bool) -> None:
    if as_json:
        print(json.dumps([plan.as_dict() for plan in plans], indent=2, ensure_ascii=False))
        return
    # A pipe has no width of its own, and a table that is cut there loses figures.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    with console.capture() as text:
        for index, each in enumerate(plans):
            console.print(*([""] if index else []), render(each), sep="\n", highlight=False)
    print("\n".join(line.rstrip() for line in text.get().splitlines()))


if __name__ == "__main__":
    app()
