"""The command's root, and the options that many commands share."""

import os
from typing import Annotated

import typer

from rabbit_ko.recipes import find_recipe

app = typer.Typer(
    name="rabbit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def rabbit() -> None:
    """Korean instruction tuning on axolotl: data, SFT, preferences, evaluation, cards.

    `rabbit data`, `rabbit sft`, `rabbit dpo` and `rabbit chat` take the recipe `smoke` the whole way on a laptop.
    Each command is a make target too: `make sft RECIPE=aog-8b` is `rabbit sft --recipe aog-8b`. Everywhere `--debug`
    shows tracebacks. The exit code is 0, 1 where something failed, 2 where the call was wrong.
    """


def _known(context: typer.Context, name: str) -> str:
    """Refuse an unknown recipe; a recipe that makes its own base needs no hub, unless something is pushed there."""
    recipe = find_recipe(name)
    if recipe.base_script and not (context.info_name or "").startswith("push"):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return name


RecipeName = Annotated[
    str, typer.Option("--recipe", metavar="NAME", help="a folder under axolotl_configs/", callback=_known)
]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
