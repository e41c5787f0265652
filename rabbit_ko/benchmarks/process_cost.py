"""A command's time, and the most memory that it and everything it started held together."""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Event, Thread
from time import perf_counter

import psutil

INTERVAL = 0.1
METHOD = (
    "Memory is PSS (a page that several processes share is counted once) of a contender's whole process tree, "
    f"read every {INTERVAL} s; pages of files that it maps into memory are in it."
)
TAIL = 2_000


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    peak_bytes: int


def measure(command: tuple[str, ...]) -> Cost:
    """Run a command from start to exit, and return what it took.

    Raises RuntimeError with the end of its output where it fails. Whatever happens, it leaves no process behind.
    """
    ended, peaks = Event(), [0]
    with TemporaryFile() as log:
        start = perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        sampler = Thread(target=_sample, args=(process.pid, ended, peaks), daemon=True)
        sampler.start()
        try:
            # On this thread, so that the end is seen at once.
            process.wait()
            seconds = perf_counter() - start
        finally:
            ended.set()
            sampler.join()
            _kill(process.pid)
            process.wait()
        if process.returncode:
            log.seek(max(log.tell() - TAIL, 0))
            output = log.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}\n{output}")
    return Cost(seconds, max(peaks))


def _sample(pid: int, ended: Event, peaks: list[int]) -> None:
    """Append the bytes that a process and its descendants hold together, again and again; the ended hold none."""
    while not ended.wait(INTERVAL):
        held = 0
        for process in _tree(pid):
            with suppress(psutil.Error):
                held += process.memory_full_info().pss
        peaks.append(held)


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def _kill(pid: int) -> None:
    """Kill what is left: descendants, and orphans, which are still in the group of the process that started them."""
    for process in _tree(pid):
        with suppress(psutil.Error):
            process.kill()
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
