"""`rabbit <command>`: the one command line, which every make target calls.

An option `--max-rows` can also be given as the environment variable `RABBIT_MAX_ROWS`: that is how make hands its
variables over, so that no flag is spelled twice and no value meets a shell.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from click import Command, Context, Parameter
from typer.main import get_command

from rabbit_ko.cli import data, evaluate, look, publish, train  # noqa: F401  each adds its commands to `app`
from rabbit_ko.cli.app import app
from rabbit_ko.errors import UserError, is_of_storage, reason, suggest

PREFIX = "RABBIT_"
# Variables of earlier versions, by what each is called now.
RENAMED = {"CARD": "GPU", "ENGINE": "EXECUTOR", "MERGED": "FORMAT=merged", "PARALLEL": "SHARDING"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; always raises SystemExit: with 0, with 1 for a failure, or with 2 for wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get(f"{PREFIX}DEBUG") == "1"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = get_command(app)
    with told(debug):
        command.main(
            [argument for argument in given if argument != "--debug"],
            prog_name="rabbit",
            default_map=defaults_from_environment(command),
        )


def defaults_from_environment(root: Command) -> dict[str, dict[str, str]]:
    """Return what RABBIT_ variables say, by command and parameter.

    Raises UserError where no command knows a variable.
    """
    given = {name.removeprefix(PREFIX): value for name, value in os.environ.items() if name.startswith(PREFIX)}
    given.pop("DEBUG", None)
    context = Context(root)
    commands = {name: root.get_command(context, name) for name in root.list_commands(context)}  # type: ignore[attr-defined]
    known = {variable for command in commands.values() for variable in variables(command)}
    for name in given.keys() - known:
        raise typer.BadParameter(f"{name}: {_advice(name, known)}")
    return {
        name: {
            parameter.name: given[variable]
            for variable, parameter in variables(command).items()
            if given.get(variable) and parameter.name
        }
        for name, command in commands.items()
    }


def variables(command: Command) -> dict[str, Parameter]:
    """Return a command's parameters by their variables: `--max-rows` is MAX_ROWS."""
    return {
        flag.removeprefix("--").replace("-", "_").upper(): parameter
        for parameter in command.params
        for flag in parameter.opts
    }


def _advice(name: str, known: set[str]) -> str:
    if name in RENAMED:
        return f"is {RENAMED[name]} now"
    return f"no command has such a variable{suggest(name, sorted(known))}"


@contextmanager
def told(debug: bool) -> Iterator[None]:
    """Tell of a failure in one line, and exit with 1; with debug, in a traceback."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stopped:
        # Inside a command typer catches a Ctrl-C, and exits with 130 without a word.
        if isinstance(stopped, SystemExit) and stopped.code != 130:
            raise
        raise _failure("interrupted; the same command resumes from here", 130) from None
    except typer.BadParameter as error:
        raise _failure(error.message, 2) from None
    except Exception as error:
        if debug or not (isinstance(error, UserError | OSError) or is_of_storage(error)):
            raise
        raise _failure(_one_line(error), 1) from None


def _failure(line: str, code: int) -> SystemExit:
    print(f"error: {line}", file=sys.stderr)
    return SystemExit(code)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        said = os.strerror(error.errno)
        return f"{error.filename}: {said}" if error.filename else said
    return str(error) if isinstance(error, UserError) else reason(error)
