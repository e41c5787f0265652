"""`rabbit card`, `push-data`, `push-model`: what leaves the house."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from rabbit_ko.cli.app import LastStage, RecipeName, app, is_debugging
from rabbit_ko.terminal import Terminal, say, silence

Picked = Annotated[Path | None, typer.Option(metavar="FILE", help="an answer: YAML with question: and answer:")]
Public = Annotated[bool, typer.Option("--public", help="let everybody see it")]


@app.command()
def card(
    recipe: RecipeName = "smoke",
    stage: LastStage = "",
    lang: Annotated[Literal["ko", "en"], typer.Option(help="the card's language")] = "ko",
    good: Picked = None,
    bad: Picked = None,
    license: Annotated[str, typer.Option(metavar="NAME", help="by the hub's name; by default what all allow")] = "",
) -> None:
    """Write a stage's model card to `runs/<recipe>/<stage>/README.md`.

    It has the data and their licenses, hyperparameters and hours, the figures that `rabbit eval` and `judge` left,
    the prompt, and answers of the model. What was not measured is a dash. `--good` and `--bad` add one of yours.
    The license is what those of the base and of the data leave; `--license` may say no more than they allow.

    Example: `rabbit card --recipe aog-8b --stage sft --lang en --license llama3`
    """
    if license and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        raise typer.BadParameter("say it by the hub's name, such as cc-by-nc-4.0", param_hint="--license")
    silence(is_debugging())
    from rabbit_ko.publishing.model_card import write_card

    with Terminal(stderr=True).status("reading the results, then the model answers"):
        file, stale = write_card(recipe, stage, lang, good, bad, license)
    for line in stale:
        say(line, is_error=True)
    say(file)


@app.command()
def push_data(
    recipe: RecipeName = "smoke",
    repo: Annotated[str, typer.Option(metavar="TARGET", help="a hub dataset, org/name, or a URL")] = "",
    public: Public = False,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="shards, instead of a recipe's")] = None,
) -> None:
    """Push a recipe's shards, with a dataset card in one commit, to the hub, or to a URL such as `s3://bucket/folder`.

    Each source's license must allow it, and each shard must be what `manifest.json` says. Rejected rows are not
    pushed. A new repo is private without `--public`. The hub needs HF_TOKEN or `hf auth login`. Prints the URL.

    Example: `rabbit push-data --recipe mine --repo org/name`
    """
    _check_target("push-data", recipe, repo)
    from rabbit_ko.publishing.push_data import push
    from rabbit_ko.recipes import find_recipe

    say(push(folder or find_recipe(recipe).data, repo, public))


@app.command()
def push_model(
    recipe: RecipeName = "smoke",
    stage: Annotated[str, typer.Option(metavar="NAME", help="the stage that made the model")] = "sft",
    repo: Annotated[str, typer.Option(metavar="ORG/NAME", help="a hub model")] = "",
    format: Annotated[str, typer.Option(metavar="NAME", help="adapter, merged into the base, gguf, ...")] = "adapter",
    quant: Annotated[str, typer.Option(metavar="NAME", help="of a GGUF, as it was exported")] = "",
    public: Public = False,
) -> None:
    """Push a stage's model, with its model card and `run.json`, in one commit.

    It needs `rabbit card`, `--format merged` also `rabbit merge`, and `gguf`, `gguf-lora` and `fp8` also `rabbit
    export` and `rabbit parity`, whose verdict the card shows; what that found to be different is not pushed. Only
    weights without code, and what loads them, are pushed, with what the base's license wants beside them: its text,
    a NOTICE. A name that it forbids is refused. A new repo is private without `--public`. The hub needs HF_TOKEN or
    `hf auth login`. Prints the commit's URL.

    Example: `rabbit push-model --recipe aog-8b --stage sft --repo org/Llama-3-AOG-8B`
    """
    _check_target("push-model", recipe, repo)
    from rabbit_ko.publishing.push_model import push

    say(push(recipe, stage, repo, format, quant, public))


def _check_target(command: str, recipe: str, repo: str) -> None:
    if not repo:
        raise typer.BadParameter(f"say where: make {command} RECIPE={recipe} REPO=org/name")
