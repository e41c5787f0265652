"""How the command lines tell of what goes wrong."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rabbit_ko.errors import UserError, is_of_storage, reason


@contextmanager
def told(debug: bool, place: str = "") -> Iterator[None]:
    """Tell of a mistake in a line, without a traceback, and exit with 1.

    place: what is at work, for errors that do not name a file themselves.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if debug or not (isinstance(error, UserError | OSError | KeyboardInterrupt) or is_of_storage(error)):
            raise
        typer.echo(f"error: {_one_line(error, place)}", err=True)
        raise typer.Exit(1) from None


def _one_line(error: BaseException, place: str) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command goes on from here"
    if isinstance(error, UserError):
        return str(error)
    where = getattr(error, "filename", None) or place
    said = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else reason(error)
    return f"{where}: {said}" if where else said
