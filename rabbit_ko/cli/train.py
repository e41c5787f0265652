"""`rabbit sft`, `dpo` and every other method, `merge`, `status`, `new`."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rabbit_ko.cli.app import AsJson, RecipeName, app, is_debugging, use_recipe
from rabbit_ko.cli.data import build_recipe, data_status, stand_ins
from rabbit_ko.errors import UserError
from rabbit_ko.methods import METHODS, Method, round_of, stage_method
from rabbit_ko.recipes import Recipe, built_rows, find_recipe, read_config
from rabbit_ko.terminal import Terminal, say, say_json

if TYPE_CHECKING:
    from rabbit_ko.training.run import Launch

Overrides = Annotated[str, typer.Option("--args", metavar='"..."', help="overrides for axolotl, `--key=value ...`")]
Gpus = Annotated[int | None, typer.Option(min=1, help="processes, one a GPU; all of this machine by default")]
Sharding = Annotated[
    str | None,
    typer.Option(help="ddp (the default), zero1, zero2, zero3 or fsdp2"),
]
Accelerate = Annotated[
    str, typer.Option("--launch", metavar='"..."', help="arguments for `accelerate launch`, in the place of --gpus")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="train anew, and remove what there is of the stage")]


Round = Annotated[
    int | None,
    typer.Option("--round", metavar="N", min=1, max=99, help="on pairs of what the stage before it answers"),
]


def _help(method: Method) -> str:
    rows = {"sft": "conversations", "dpo": "preference pairs", "kto": "answers with a label"}[method.rows]
    start = f"the merged {method.parent} model" if method.parent else "the recipe's base model"
    name = method.name
    rounds = (
        f"`--round 2` trains `{name}-2`, from `{name}-1` and on pairs of its answers.\n\n    "
        if method.parent
        else ""
    )
    return f"""Train a stage on {rows}: {name}.

    Starts from {start}, and leaves an adapter with its tokenizer and `run.json` in `runs/<recipe>/{name}`. The
    data are built first where they are not up to date. A run that was interrupted resumes from its last complete
    checkpoint. One that is up to date, by its config, shards, prompt and base, is not trained again.

    {rounds}Example: `rabbit {name} --recipe aog-8b --args=--micro-batch-size=2`
    """


def _add(method: Method) -> None:
    def command(
        recipe: RecipeName = "smoke",
        args: Overrides = "",
        gpus: Gpus = None,
        sharding: Sharding = None,
        launch: Accelerate = "",
        fresh: Fresh = False,
        number: Round = None,
    ) -> None:
        from rabbit_ko.training.run import Launch

        how = Launch(shlex.split(args), gpus, sharding, launch, fresh, is_debugging())
        stage = stage_method(round_of(method.name, number)).name if number else method.name
        train_stage(Recipe(recipe), stage, how)

    app.command(method.name, help=_help(method), short_help=f"train: {method.name.upper()}")(command)


def train_stage(recipe: Recipe, stage: str, how: "Launch") -> bool:
    """Train a stage on rows that are up to date, unless it is; tell whether it was trained. Raises UserError."""
    from rabbit_ko.pairs.needs import find_needs
    from rabbit_ko.training.run import check_before, train
    from rabbit_ko.training.status import State

    check_before(recipe, stage, how)
    config = read_config(recipe.config(stage))
    if lacking := find_needs(recipe, config).lacking(recipe, stage):
        raise UserError(lacking)
    rows = built_rows(config)
    if not rows or recipe.data in {path.parent for path in rows}:
        if (parent := recipe.parent(stage)) and (state := data_status(recipe)) != State.CURRENT:
            raise UserError(
                f"{stage} starts from {parent}, and {recipe.data} is {state}; run `make data {stage} "
                f"RECIPE={recipe.name}`, which tells whether {parent} has to be trained again"
            )
        build_recipe(recipe)
    is_new = train(recipe, stage, how)
    if is_new:
        say(f"next: rabbit chat --recipe {recipe.name}, or rabbit eval --recipe {recipe.name} --stage {stage}")
    return is_new


for each in METHODS.values():
    _add(each)


@app.command()
def merge(
    recipe: RecipeName = "smoke",
    stage: Annotated[str, typer.Option(help="the stage whose adapter is merged")] = "sft",
) -> None:
    """Merge a stage's adapter into its base.

    Leaves a complete model with its tokenizer and chat template in `runs/<recipe>/<stage>/merged`, which
    transformers, vLLM and the next stage load. A stage that starts from it does this by itself.

    Example: `rabbit merge --recipe rabbit-ko-3b --stage dpo`
    """
    from rabbit_ko.training.run import merge as merge_adapter

    made = merge_adapter(Recipe(recipe), stage, is_debugging())
    say(f"{Recipe(recipe).run(stage) / 'merged'}: {'merged' if made else 'up to date'}")


@app.command()
def status(
    name: Annotated[str, typer.Argument(metavar="[RECIPE]", help="the same as --recipe")] = "",
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="a folder under axolotl_configs/")
    ] = "smoke",
    as_json: AsJson = False,
) -> None:
    """Show what there is of a recipe: its data, each stage, and the command that comes next on the way to DPO.

    A stage is missing, running, interrupted at a step, stale with what it was made of and has changed, changed with
    the file of its own that is not as it was written, or up to date. Content decides, never the time of a file.

    Example: `rabbit status aog-8b`
    """
    from rabbit_ko.pairs.needs import find_needs
    from rabbit_ko.training.status import State, stage_status

    found = use_recipe(name or recipe)
    stages = [stage_status(found, method.name) for method in found.methods]
    states, way = {"data": data_status(found)}, found.way(found.last)
    ahead = {"data", *way}
    for stage in stages:
        needed = find_needs(found, read_config(found.config(stage.stage))).states(found)
        pairs = {f"pairs STAGE={of}": state for of, state in needed.items()}
        states |= {**pairs, stage.stage: str(stage)}
        ahead |= pairs.keys() if stage.stage in way else set()
    done = {name for name, state in states.items() if state == State.CURRENT}
    done |= {stage.stage for stage in stages if stage.state is State.CURRENT}
    following = next((name for name in states if name in ahead - done), None)
    if as_json:
        say_json({"recipe": found.name, "stages": states, "next": following}, indent=2)
        return
    table = Table("stage", "state", box=None, pad_edge=False)
    for name, state in states.items():
        table.add_row(name, state)
    Terminal(soft_wrap=True).print(table)
    say(*stand_ins(found.data_config))
    if any(stage.state is State.RUNNING for stage in stages):
        say("next: wait for the end of what is running")
    elif any(stage.state is State.CHANGED for stage in stages):
        say("next: undo what was changed, as its line says")
    else:
        say(f"next: make {following or 'eval'} RECIPE={found.name}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the new recipe's name")],
    source: Annotated[str, typer.Option("--from", metavar="RECIPE", help="the recipe to copy")] = "rabbit-ko-3b",
    base: Annotated[str, typer.Option(help="the base model: a folder or a hub id; that of the copied recipe")] = "",
) -> None:
    """Make a recipe of your own from another one, with all its paths and names right.

    Copies `axolotl_configs/<recipe>`; with `--base`, looks at that model's tokens and names those that end an answer
    and pad a batch in its YAMLs. Then put your files into its data.yaml.

    Example: `rabbit new mine --from rabbit-ko-3b --base Qwen/Qwen3-4B`
    """
    from rabbit_ko.training.new_recipe import copy_recipe

    for line in copy_recipe(find_recipe(source), name, base):
        say(line)
    say(f"next: list your files in axolotl_configs/{name}/data.yaml, then make data RECIPE={name}")
