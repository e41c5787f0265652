"""Actions that are killed before each of the changes that they make to files, or for which there is no room."""

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate")


class Killer:
    """Kills this process before its nth change to files, counted from when it is armed."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.is_armed = False
        sys.addaudithook(self._count)

    def _count(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.is_armed and (event in CHANGES or (event == "open" and _is_written(arguments))):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


def _is_written(arguments: tuple[object, ...]) -> bool:
    _, mode, flags = arguments
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(writes)


def kills(action: Callable[[Killer], object]) -> Iterator[int]:
    """Run an action, which arms a killer, in processes that are killed before the 1st change, the 2nd, and so on.

    Yields the number after each kill, and ends with the process that comes to its end.
    """
    for number in count(1):
        if not (pid := os.fork()):
            code = 1
            try:
                action(Killer(number))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            return
        yield number


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
