"""`rabbit all`: every command of a recipe's way, one after the other."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import click
import typer

from rabbit_ko.cli.app import RecipeName, app, both_or_neither
from rabbit_ko.errors import UserError
from rabbit_ko.methods import stage_method
from rabbit_ko.recipes import Recipe, read_config


@app.command("all")
def run_all(
    recipe: RecipeName = "smoke",
    stage: Annotated[
        str, typer.Option(metavar="NAME", help="the last stage: dpo, where the recipe has it; or dpo-2, orpo, ...")
    ] = "",
    judge_url: Annotated[
        str, typer.Option(help="an OpenAI-compatible server that judges pairs and the answers to a bench")
    ] = "",
    judge_model: Annotated[str, typer.Option(help="the judge's name there")] = "",
) -> None:
    """Go the whole way: data, the stages up to the last, evaluation, a bench with a judge, results, the card.

    The stages are the last one, its parent and so on. The pairs that a round learns from come before it, and so do
    those that data.yaml lists, where their judge is given or is rules or a reward model. What is done is not done
    again, so the same command resumes after an interruption. Leaves all that the single commands leave in
    `data/<recipe>` and `runs/<recipe>`.

    Example: `rabbit all --judge-url http://localhost:8000/v1 --judge-model judge`
    """
    from rabbit_ko.training.new_recipe import find_config

    both_or_neither(judge_url=judge_url, judge_model=judge_model)
    found = Recipe(recipe)
    names = found.way(stage_method(stage).name if stage else found.last)
    if not names:
        raise UserError(f"{found.folder}: no stage in it; write {found.config('sft')}")
    find_config(found, names[-1])
    judged = ["--judge-url", judge_url, "--judge-model", judge_model] if judge_url else []
    stages = ("base", *names)
    for step in [["data"], *_stages(found, names, judged)]:
        _end(_run([*step, "--recipe", recipe]))
    measuring = [["eval", "--stage", ",".join(stages)]]
    measuring += [["judge", "--stage", ",".join(stages), *judged]] if judged else []
    for step in [*measuring, ["results"], ["card", "--stage", names[-1]]]:
        _end(_run_here([*step, "--recipe", recipe]))


def _end(code: int | None) -> None:
    if code:
        raise typer.Exit(code)


def _run(arguments: Sequence[str]) -> int:
    """Run a command that makes something in a process of its own, and return its exit code."""
    with subprocess.Popen([sys.executable, "-m", "rabbit_ko.cli", *arguments]) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            return process.wait()  # Ctrl-C has reached it, too, and it ends and says so by itself
        except SystemExit:
            process.terminate()
            raise


def _run_here(arguments: Sequence[str]) -> int | None:
    """Run a command that measures in this process, so that all of them share what they import; return its exit code.

    Raises SystemExit where it fails, which it has told.
    """
    root = click.get_current_context().find_root()
    options: dict[str, Any] = {"prog_name": "rabbit", "default_map": root.default_map, "obj": root.obj}
    found: int | None = root.command.main(list(arguments), standalone_mode=False, **options)
    return found


def _stages(recipe: Recipe, names: Sequence[str], judged: list[str]) -> Iterator[list[str]]:
    """Yield the commands that train stages, each behind those that make the pairs that it learns from."""
    from rabbit_ko.pairs.needs import find_needs

    for place, name in enumerate(names):
        needs = find_needs(recipe, read_config(recipe.config(name)))
        yield from (_pairs(recipe, of, judged) for of in needs.named)
        own = [of for of in (*needs.taken, *needs.awaited) if of in names[:place]]
        if own and _can_judge(recipe, judged):
            yield from (_pairs(recipe, of, judged) for of in own)
            yield ["data"]
        method, _, number = name.partition("-")
        yield [method, *(["--round", number] if number else [])]


def _pairs(recipe: Recipe, stage: str, judged: list[str]) -> list[str]:
    """Return the command for pairs. Raises UserError where pairs.yaml is missing, or its judge is not given."""
    from rabbit_ko.pairs.config import read_pairs_config
    from rabbit_ko.pairs.judges import make_judge

    judge = read_pairs_config(recipe).judge
    if not judged:
        make_judge(judge)
    return ["pairs", "--stage", stage, *(judged if judge.rubric else [])]


def _can_judge(recipe: Recipe, judged: list[str]) -> bool:
    from rabbit_ko.pairs.config import read_pairs_config

    return recipe.config("pairs").exists() and bool(judged or not read_pairs_config(recipe).judge.rubric)
