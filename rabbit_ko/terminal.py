"""What other libraries say: into a log file, and of it only how far they are onto the terminal."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markdown import Markdown
from rich.spinner import Spinner

# A bar of tqdm, such as `Requesting API:  40%|####      | 4/10 [00:02<00:03,  1.9it/s]`.
_BAR = re.compile(r"(?<![^:\r\n])([^:\r\n]++):\s+\d+%\|[^|]*\|\s*(\d+/\d+) \[[\d:]+<([\d:]+),")
TAIL = 4_096


class _LastBar:
    """The last bar that was written to a log, as text that is made anew whenever the terminal is drawn."""

    def __init__(self, log: Path, what: str) -> None:
        self.log = log
        self.what = what
        self.start = log.stat().st_size

    def __rich__(self) -> str:
        with self.log.open("rb") as file:
            file.seek(max(self.start, self.log.stat().st_size - TAIL))
            bars = _BAR.findall(file.read().decode(errors="replace"))
        return ", ".join([self.what, *(f"{name.strip()} {done}, {left} left" for name, done, left in bars[-1:])])


@contextmanager
def aside(log: Path, what: str, debug: bool = False) -> Iterator[None]:
    """Send all that is written to stderr to the end of a log, and show what is done and for how long on the terminal.

    debug: leave it on the terminal. stdout stays as it is.
    """
    if debug:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    terminal = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    is_first = os.environ.get("RANK", "0") == "0"
    console = Console(file=os.fdopen(os.dup(terminal), "w", encoding="utf-8"), quiet=not is_first)
    try:
        spinner = Spinner("dots", _LastBar(log.absolute(), what))
        with Live(spinner, console=console, transient=True, redirect_stdout=False, redirect_stderr=False):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)


def silence(debug: bool = False) -> None:
    """Show no warnings of other libraries in this process, which the user can do nothing about."""
    if not debug:
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")


def show(markdown: str) -> None:
    """Print Markdown: as it is into a file or a pipe, and drawn in the terminal's width on one."""
    if sys.stdout.isatty():
        Console().print(Markdown(markdown))
    else:
        print(markdown)
