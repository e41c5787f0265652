"""Axolotl in a process of its own: what matters of its output on the terminal, all of it in a log file."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from rich.status import Status

from rabbit_ko.errors import UserError
from rabbit_ko.secrets import hide, known_secrets
from rabbit_ko.terminal import Terminal, say

# Lines of this project's own loggers, as axolotl formats them.
_OWN = re.compile(
    r"^\[[^\]]+\] \[(?:INFO|WARNING|ERROR)\] \[(?:axolotl\.guard|prompt_strategies[.\w]*)\] (?P<said>.*)"
)
_STEP = re.compile(r"step (?P<step>\d+) of (?P<steps>\d+): ")
# What says why a process failed: this project's refusals first, then the last line of a traceback.
_REFUSAL = re.compile(r"^(?:axolotl_configs/\S+: |error: )")
# What torchrun writes in front of the lines of one of several processes.
_RANK = re.compile(r"^\[rank\d+\]: ?")
_EXCEPTION = re.compile(r"^(?!torch\.distributed\.elastic)[A-Za-z_][\w.]*(?:Error|Exception|Interrupt): ")
# What torch, safetensors and Python say of a disk without room; what they raise for it names no disk.
_FULL_DISK = re.compile(
    r"No space left on device|StorageFull|Disk quota exceeded|PytorchStreamWriter failed"
    r"|(?m:^)(?>.*?container).*unexpected pos"
)
# Where the output is no terminal, progress is a line for each tenth of a run.
TENTHS = 10


def run_logged(command: Sequence[str], log: Path, doing: str, debug: bool = False, quiet: bool = False) -> None:
    """Run a command; its output goes to the end of `log`, and what this project says in it to the terminal as well.

    doing: what the command does, in a word for the terminal. debug: all of it goes to the terminal. quiet: nothing
    does, but why it failed. Raises UserError with one line where the command fails. Ctrl-C and SIGTERM reach the
    command, which ends by itself.
    """
    if not debug:
        say(f"{doing}; its log is {log}")
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    log.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        command,
        env=environment,
        stdout=None if debug else subprocess.PIPE,
        stderr=None if debug else subprocess.STDOUT,
    ) as process:
        try:
            lines = [] if process.stdout is None else _show(logged(process.stdout, log), doing, quiet)
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()  # Ctrl-C has reached it, too
            raise
        except SystemExit:
            process.terminate()
            raise
    if code:
        raise UserError(f"{_why(lines) or f'exit code {code}'}{'' if debug else f'; its log is {log}'}")


def logged(output: IO[bytes], log: Path) -> Iterator[str]:
    """Yield each line as it comes, when it is in the log; neither has a secret."""
    secrets = known_secrets()
    with log.open("ab", buffering=0) as file:
        for raw in output:
            line = hide(raw.decode(errors="surrogateescape"), secrets)
            file.write(line.encode(errors="surrogateescape"))
            # A progress bar draws one line over another.
            yield line.rstrip().rpartition("\r")[2]


def _show(lines: Iterator[str], doing: str, quiet: bool) -> list[str]:
    """Show the lines of this project, progress as one live line where there is a terminal; return the last lines."""
    last: list[str] = []
    said_before = set[str]()
    shown = -1
    console = Terminal(soft_wrap=True)
    with Status(doing, console=console) if console.is_terminal else _Silent() as live:
        for line in lines:
            last = [*last[-400:], line]
            own = _OWN.match(line)
            said = own["said"] if own else ""
            if not said or quiet or said in said_before:  # preparing, training and each process say some things again
                continue
            said_before.add(said)
            if (step := _STEP.match(said)) is None or "eval" in said:
                console.print(said)
            elif console.is_terminal:
                live.update(said)
            elif (tenth := TENTHS * int(step["step"]) // int(step["steps"])) > shown:
                console.print(said)
                shown = tenth
    return last


class _Silent:
    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, _: str) -> None: ...


def _why(lines: Sequence[str]) -> str:
    """Return the line that says why a process ended, or nothing."""
    lines = [_RANK.sub("", line) for line in lines]
    if refusal := _last(_REFUSAL, lines):
        return refusal.removeprefix("error: ")
    failure = _last(_EXCEPTION, lines)
    if failure and any(_EXCEPTION.match(line) and _FULL_DISK.search(line) for line in lines):
        return f"the disk is full ({failure}); free some (`rabbit doctor` counts), and run the same command again"
    return failure


def _last(pattern: re.Pattern[str], lines: Sequence[str]) -> str:
    return next(filter(pattern.match, reversed(lines)), "")


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]
