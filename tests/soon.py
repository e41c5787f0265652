"""The time that a test may take where the slip that it guards against takes many times as long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def soon(seconds: float) -> Iterator[None]:
    """Fail where a block takes more seconds of this process's CPU time: waiting for a busy machine is not counted.

    A bound is far from both: tens of times what the block takes, and less than what is quadratic would take.
    """
    started = time.process_time()
    yield
    taken = time.process_time() - started
    assert taken < seconds, f"{taken:.1f} s of CPU time"
