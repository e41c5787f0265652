"""`rabbit plan`, `bench`: what a run will need, and how fast things are."""

import math
from pathlib import Path
from typing import Annotated

import typer

from rabbit_ko.cli.app import AsJson, RecipeName, app, use_recipe
from rabbit_ko.errors import suggest
from rabbit_ko.terminal import say, say_json


def _finite(value: float | None) -> float | None:
    """Refuse nan, which is not below any minimum, and infinity."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no size; give a number")
    return value


def _one_of(option: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise typer.BadParameter(f"`{value}`{suggest(value, known)}", param_hint=option)


@app.command()
def plan(
    recipe: RecipeName = "smoke",
    gpus: Annotated[int, typer.Option(min=1, help="GPUs, on all machines together")] = 1,
    gpu_memory: Annotated[float, typer.Option(min=1, callback=_finite, help="GiB of each GPU")] = 80.0,
    sharding: Annotated[str, typer.Option(metavar="NAME", help="ddp, zero1, zero2, zero3 or fsdp2")] = "ddp",
    gpu: Annotated[str | None, typer.Option(metavar="NAME", help="hours for this GPU, such as h100")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="training rows, if you know better")] = None,
    row_tokens: Annotated[
        float | None, typer.Option(min=1, callback=_finite, help="tokens of a row, as well")
    ] = None,
    measured: Annotated[Path | None, typer.Option(help="measured speeds; what `rabbit bench` has left")] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate memory, steps, tokens and hours of a recipe's stages, before a GPU is rented.

    Says what each figure rests on, and what to change where a stage does not fit. Built data is counted, and its rows
    are tokenized where the tokenizer is at hand; otherwise the sizes of the public data sets and 400 tokens a row
    stand in. Hours are for an assumed share of the GPU's stated speed, beside those that `rabbit bench --what train`
    has measured. Needs neither a GPU nor the network, and writes nothing.

    `rabbit plan --recipe rabbit-ko-3b-fast --gpus 8 --gpu-memory 24 --sharding fsdp2 --gpu rtx-4090`
    """
    from pydantic_core import to_jsonable_python

    from rabbit_ko.planning.memory import SHARDINGS
    from rabbit_ko.planning.plan import as_text, plan_stages
    from rabbit_ko.planning.work import GPUS
    from rabbit_ko.recipes import find_recipe

    _one_of("--sharding", sharding, list(SHARDINGS))
    _one_of("--gpu", gpu or "h100", list(GPUS))
    machine = {"gpus": gpus, "gpu_memory": gpu_memory, "sharding": sharding, "gpu": gpu}
    plans = plan_stages(find_recipe(recipe), rows, row_tokens, measured, **machine)
    if as_json:
        say_json(to_jsonable_python(plans), indent=2)
    else:
        say("\n\n".join(map(as_text, plans)))


@app.command()
def bench(
    what: Annotated[str, typer.Option(metavar="WHAT", help="tokenize, data or train")] = "tokenize",
    recipe: RecipeName = "smoke",
    rows: Annotated[str, typer.Option(metavar="N", help="tokenize: 20000; data: 53000,500000")] = "",
    rounds: Annotated[int | None, typer.Option(min=1, help="of each contender; tokenize: 5, data: 3")] = None,
    tokenizer: Annotated[str, typer.Option(metavar="PATH", help="tokenize: in the place of the base's own")] = "",
    conversations: Annotated[int, typer.Option(min=0, help="data: guanaco conversations, too")] = 0,
    only: Annotated[str, typer.Option(metavar="A,B", help="data: contenders, such as plain,gates")] = "",
    steps: Annotated[int, typer.Option(min=1, help="train: optimizer steps that count")] = 20,
    warmup: Annotated[int, typer.Option(min=1, help="train: steps before them")] = 5,
    stage: Annotated[str, typer.Option(metavar="A,B", help="train: which stages")] = "sft,dpo",
    attention: Annotated[str, typer.Option(metavar="NAME", help="train: in the place of the recipes' own")] = "",
) -> None:
    """Time what docs/benchmarks.md shows, and print tables in Markdown.

    **tokenize**: this project's strategy beside axolotl's own and the bare tokenizer, on the recipe's built SFT
    shards. **data**: builds beside other tools, on generated rows; leaves 0.7 GB of them in runs/bench. **train**:
    steps of the recipe (aog-8b in the place of smoke) and of its fast variant on one GPU, with random weights; writes
    `runs/bench/train/<recipe>.json`, which `rabbit plan` reads, and exits with 1 where a stage has failed.

    `rabbit bench --what train --recipe rabbit-ko-3b --stage dpo --steps 20`
    """
    _one_of("--what", what, ["tokenize", "data", "train"])
    given = rows or ("20000" if what == "tokenize" else "53000,500000")
    if not all(number.isdecimal() and int(number) for number in given.split(",")):
        raise typer.BadParameter(f"`{rows}` is no number above 0, or a list such as 1000,2000", param_hint="--rows")
    sizes = [int(number) for number in given.split(",")]
    if what == "tokenize":
        from rabbit_ko.benchmarks.tokenize_speed import bench_tokenizing
        from rabbit_ko.recipes import read_config

        found = use_recipe(recipe)
        base = tokenizer or str(read_config(found.config("sft")).get("base_model"))
        bench_tokenizing(found.data / "sft", base, sizes[0], rounds or 5)
    elif what == "data":
        from rabbit_ko.benchmarks.build_speed import bench_builds

        bench_builds(sizes, conversations, rounds or 3, only.split(",") if only else [])
    else:
        from rabbit_ko.benchmarks.training_speed import bench_training

        bench_training("aog-8b" if recipe == "smoke" else recipe, stage.split(","), steps, warmup, attention)
