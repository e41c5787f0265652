"""The command's root: how errors are told, and the options that many commands share."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from rabbit_ko.documents import GRANT
from rabbit_ko.errors import UnknownName, UserError, is_of_storage, reason
from rabbit_ko.methods import find_method
from rabbit_ko.recipes import Recipe, find_recipe
from rabbit_ko.terminal import say

OUT_OF_MEMORY = "the memory that this process may use is full; `--workers 1` needs the least, smaller files need less"


@contextmanager
def told(debug: bool) -> Iterator[None]:
    """Tell of a failure in one line, with debug after its traceback; raise SystemExit: 1, or 2 for wrong usage."""
    try:
        yield
    except KeyboardInterrupt:
        raise _failure("interrupted; the same command resumes from here", 130) from None
    except click.UsageError as error:
        is_bare = isinstance(error, click.BadParameter) and not (error.param or error.param_hint)
        where = f"{error.ctx.command_path}: " if error.ctx else ""
        said = where + (error.message if is_bare else error.format_message())
        raise _failure(" ".join(said.split()), 2) from None
    except (click.ClickException, click.exceptions.Exit, click.exceptions.Abort):
        raise
    except Exception as error:
        if debug:
            say(traceback.format_exc(), is_error=True)
        raise _failure(_one_line(error), 2 if isinstance(error, UnknownName) else 1) from None


def _failure(line: str, code: int) -> SystemExit:
    say(f"error: {line}", is_error=True)
    return SystemExit(code)


def _one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno:
        said = os.strerror(error.errno) + (f"; {GRANT}" if isinstance(error, PermissionError) else "")
        return f"{error.filename}: {said}" if error.filename else said
    if isinstance(error, UserError | OSError) or is_of_storage(error):
        return str(error) if isinstance(error, UserError) else reason(error)
    return f"{type(error).__name__}: {reason(error)}; that is a fault of this project: add --debug to see where"


def is_debugging() -> bool:
    """Tell whether all that other libraries say is to be shown, and tracebacks: `--debug`, or DEBUG=1."""
    return bool(click.get_current_context().find_root().obj)


class Root(TyperGroup):
    """All commands, whose failures are told here and nowhere else; the context's `obj` says whether to debug."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named; a round is trained by that of its method: `dpo-2` is `dpo --round 2`."""
        name, _, number = args[0].partition("-")
        is_round = number.isdigit() and find_method(args[0]) is not None
        said = [arg for arg in args if arg.partition("=")[0] == "--round"]
        if is_round and (said or ((ctx.default_map or {}).get(name) or {}).get("number")):
            raise click.BadParameter(f"{args[0]} says which round it is; say no other with --round", ctx)
        return super().resolve_command(ctx, [name, "--round", number, *args[1:]] if is_round else args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that is named."""
        with told(bool(ctx.obj)):
            return super().invoke(ctx)


app = typer.Typer(
    name="rabbit",
    cls=Root,
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
    shows tracebacks. The exit code is 0, 1 where something failed, 2 where the call was wrong, 130 after Ctrl-C.
    """


def both_or_neither(**values: str) -> None:
    """Raise BadParameter where one of two options, such as `judge_url` and `judge_model`, is given by itself."""
    one, other = (f"--{name.replace('_', '-')}" for name in values)
    if len({*map(bool, values.values())}) > 1:
        raise typer.BadParameter(f"give both {one} and {other}, or neither")


def use_recipe(name: str) -> Recipe:
    """Return a recipe by its name, and leave the hub alone where it makes its own base. Raises UnknownName."""
    recipe = find_recipe(name)
    _work_offline(recipe)
    return recipe


def _known(context: typer.Context, parameter: typer.CallbackParam, name: str) -> str:
    is_default = context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.DEFAULT
    recipe = Recipe(name) if is_default else find_recipe(name)
    # A benchmark trains another recipe in the place of smoke, with attention from the hub.
    if not (context.info_name or "").startswith(("push", "bench")):
        _work_offline(recipe)
    return name


def _work_offline(recipe: Recipe) -> None:
    if recipe.base_script:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


RecipeName = Annotated[
    str, typer.Option("--recipe", metavar="NAME", help="a folder under axolotl_configs/", callback=_known)
]
LastStage = Annotated[
    str, typer.Option("--stage", metavar="NAME", help="by default the last stage that has finished")
]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
