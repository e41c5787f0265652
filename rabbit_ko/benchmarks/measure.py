"""A command's time, and the most memory that it and everything it started held together."""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Thread
from time import perf_counter

INTERVAL = 0.1
METHOD = (
    "Memory is PSS (a page that several processes share is counted once) of a contender's whole process tree, "
    f"read from /proc every {INTERVAL} s; pages of files that it maps into memory are in it."
)
TAIL = 2_000


@dataclass(frozen=True)
class Measured:
    """What one command took."""

    seconds: float
    peak_bytes: int


def measure(command: tuple[str, ...]) -> Measured:
    """Run a command in a session of its own, from start to exit.

    Raises RuntimeError with the end of its output where it fails. Whatever happens, it leaves no process behind.
    """
    with TemporaryFile() as log:
        start = perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            peak = _watch(process)
            seconds = perf_counter() - start
        finally:
            for pid in tree(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        if process.returncode:
            log.seek(max(log.tell() - TAIL, 0))
            output = log.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)}: exit {process.returncode}\n{output}")
    return Measured(seconds, peak)


def tree(root: int) -> set[int]:
    """Return the live processes of the session that `root` leads, and all that descend from them."""
    parents, found = {}, set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name before the last bracket can hold anything.
            _state, parent, _group, session = entry.read_text(errors="replace").rpartition(")")[2].split()[:4]
            parents[int(entry.parent.name)] = int(parent)
            if int(session) == root:
                found.add(int(entry.parent.name))
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def memory(pids: set[int]) -> int:
    """Return the bytes that these processes hold together; those that are gone hold none."""
    kilobytes = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            kilobytes += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return kilobytes * 1024


def _watch(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process on this thread, so that its end is seen at once, and look at its memory on another."""
    ended, peaks = Event(), [0]

    def sample() -> None:
        peaks.append(memory(tree(process.pid)))
        while not ended.wait(INTERVAL):
            peaks.append(memory(tree(process.pid)))

    sampler = Thread(target=sample, daemon=True)
    sampler.start()
    try:
        process.wait()
    finally:
        ended.set()
        sampler.join()
    return max(peaks)
