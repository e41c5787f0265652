"""Write the model card of a stage, and push the model with it.

python -m rabbit_ko.publishing.model_card write smoke dpo
python -m rabbit_ko.publishing.model_card push rabbit-ko-3b sft org/name
"""

import logging
import re
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rabbit_ko.command_line import told
from rabbit_ko.publishing.model_card.render import Language

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
Recipe = Annotated[str, typer.Argument(help="a folder under axolotl_configs/")]
StageName = Annotated[str, typer.Argument(metavar="STAGE", help="sft or dpo")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
Picked = Annotated[Path | None, typer.Option(metavar="FILE", help="YAML with question: and answer:")]


@app.callback()
def main() -> None:
    """The model card, and the push of a model with it."""


@app.command()
def write(
    recipe: Recipe,
    stage: StageName,
    lang: Annotated[Language, typer.Option(help="the card's language")] = "ko",
    good: Picked = None,
    bad: Picked = None,
    license: Annotated[
        str, typer.Option(help="by the hub's name; without it, that of the data if there is one, or else `other`")
    ] = "",
    debug: Debug = False,
) -> None:
    """Write a stage's card from what was measured, with answers that the model gives now."""
    if license and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        raise typer.BadParameter("say it by the hub's name, such as cc-by-nc-4.0", param_hint="--license")
    from rabbit_ko.publishing.model_card.write import write_card  # torch and transformers take seconds to import

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with told(debug, f"runs/{recipe}/{stage}"):
        with Console(stderr=True).status("reading the results, then the model answers"):
            file, dropped = write_card(recipe, stage, lang, good, bad, license)
        for line in dropped:
            typer.echo(line, err=True)
        print(file)


@app.command()
def push(
    recipe: Recipe,
    stage: StageName,
    repo: Annotated[str, typer.Argument(help="a hub model, org/name")],
    merged: Annotated[bool, typer.Option("--merged", help="the merged model instead of the adapter")] = False,
    public: Annotated[bool, typer.Option("--public", help="let everybody see it")] = False,
    debug: Debug = False,
) -> None:
    """Push a stage's adapter, or its merged model, with the card, all in one commit."""
    from rabbit_ko.publishing.model_card.push import push as push_model

    with told(debug, f"runs/{recipe}/{stage}"):
        print(push_model(recipe, stage, repo, merged, public))


if __name__ == "__main__":
    app()
