"""The terminal: all that is printed is printed here, so that no text of others can drive it.

What other libraries say goes into a log file, and only how far they are onto the terminal.
"""

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner

from rabbit_ko.errors import printable
from rabbit_ko.secrets import hide

# What stays of control characters in a text of several lines.
BREAKS = "\n\t"
# A bar of tqdm, such as `Requesting API:  40%|####      | 4/10 [00:02<00:03,  1.9it/s]`.
_BAR = re.compile(r"(?<![^:\r\n])([^:\r\n]++):\s+\d+%\|[^|]*\|\s*(\d+/\d+) \[[\d:]+<([\d:]+),")
TAIL = 4_096
# Of a terminal that nobody has made wider.
COLUMNS = 80


class Terminal(Console):
    """A console on which texts are texts: neither markup nor escape sequences in them count."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is drawn; rich's own movements of the cursor are controls, and no text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text, keep=BREAKS))


def shown(text: object) -> str:
    """Return what may be printed of what was done or went wrong: it drives no terminal, and has no secrets."""
    return hide(printable(str(text), keep=BREAKS))


def say(*lines: object, is_error: bool = False) -> None:
    """Print lines on what was done or went wrong: to stdout, or to stderr."""
    for line in lines:
        print(shown(line), file=sys.stderr if is_error else sys.stdout, flush=True)


def say_json(value: Any, indent: int | None = None) -> None:
    """Print a value as JSON, in which characters that a terminal obeys or hides are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if not text.replace("\n", "").isprintable():
        text = "".join(letter if letter.isprintable() or letter == "\n" else _escaped(letter) for letter in text)
    print(text, flush=True)


def _escaped(letter: str) -> str:
    return "\\u007f" if letter == "\x7f" else json.dumps(letter)[1:-1]


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
    console = Terminal(file=os.fdopen(os.dup(terminal), "w", encoding="utf-8"), quiet=not is_first)
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


def fitted(*parts: RenderableType) -> str:
    """Return what stands on a terminal of 80 columns where parts are printed one under the other, without styles."""
    console = Terminal(file=StringIO(), width=COLUMNS)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def show(markdown: str) -> None:
    """Print Markdown: as it is into a file or a pipe, and drawn in the terminal's width on one."""
    if sys.stdout.isatty():
        Terminal().print(Markdown(markdown, hyperlinks=False))
    else:
        print(printable(markdown, keep=BREAKS))
