"""`rabbit <command>`: the one command line, which every make target calls.

An option `--max-rows` can also be given as the environment variable `RABBIT_MAX_ROWS`: that is how make hands its
variables over, so that no flag is spelled twice and no value meets a shell.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from click import Command, Group, Parameter, UsageError
from typer.main import get_command

from rabbit_ko.cli import (  # noqa: F401  each adds to `app`
    data,
    doctor,
    evaluate,
    export,
    judge,
    judge_check,
    look,
    pairs,
    parity,
    plan,
    publish,
    serve,
    template,
    train,
    whole_way,
)
from rabbit_ko.cli.app import app, told
from rabbit_ko.errors import suggest
from rabbit_ko.secrets import remember_url

PREFIX, NOT_OPTIONS = "RABBIT_", "RABBIT_KO_"
# Variables of earlier versions, and what each is called now.
RENAMED = {"CARD": "GPU", "ENGINE": "EXECUTOR", "MERGED": "FORMAT=merged", "PARALLEL": "SHARDING"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; always raises SystemExit: with 0, with 1 for a failure, or with 2 for wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get(f"{PREFIX}DEBUG") == "1"
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    # Axolotl reports its use to its makers, after ten seconds of waiting, unless it is told not to.
    os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
    # DeepSpeed's import fails without this where there is a GPU and no CUDA toolkit, and others import it unasked.
    os.environ.setdefault("DS_IGNORE_CUDA_DETECTION", "1")
    for text in (*given, *(text for name, text in os.environ.items() if name.startswith(PREFIX))):
        remember_url("".join(text.split()))
    command = get_command(app)
    with told(debug):
        defaults = defaults_from_environment(command)
    arguments = [argument for argument in given if argument != "--debug"]
    command.main(arguments, prog_name="rabbit", default_map=defaults, obj=debug)


def defaults_from_environment(root: Command) -> dict[str, Any]:
    """Return what RABBIT_ variables say, by command and parameter; an empty one says nothing.

    Raises UsageError where no command knows a variable.
    """
    names = [name for name in os.environ if name.startswith(PREFIX) and not name.startswith(NOT_OPTIONS)]
    given = {name.removeprefix(PREFIX): os.environ[name] for name in names if name != f"{PREFIX}DEBUG"}
    known = known_variables(root)
    for name in sorted(given.keys() - known):
        advice = (
            f"is {RENAMED[name]} now" if name in RENAMED else f"no command knows it{suggest(name, sorted(known))}"
        )
        raise UsageError(f"{name}: {advice}")
    return _defaults(root, given)


def known_variables(command: Command) -> set[str]:
    """Return the variables of a command and of those below it."""
    return {*variables(command), *(name for sub in subcommands(command).values() for name in known_variables(sub))}


def _defaults(command: Command, given: dict[str, str]) -> dict[str, Any]:
    own = {str(it.name): given[variable] for variable, it in variables(command).items() if given.get(variable)}
    return own | {name: _defaults(sub, given) for name, sub in subcommands(command).items()}


def subcommands(command: Command) -> dict[str, Command]:
    """Return the commands below a command, by their names."""
    return dict(command.commands) if isinstance(command, Group) else {}


def variables(command: Command) -> dict[str, Parameter]:
    """Return a command's parameters by their variables: `--max-rows` is MAX_ROWS."""
    names = ((flag.removeprefix("--"), parameter) for parameter in command.params for flag in parameter.opts)
    return {name.replace("-", "_").upper(): parameter for name, parameter in names}
