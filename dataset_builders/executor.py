"""Where work is done: in this process, in processes of this machine, or on a Ray cluster; the bytes are the same."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from pathlib import Path
from typing import Literal, TypeVar

from dataset_builders import fingerprint
from rabbit_ko.errors import UserError, reason
from rabbit_ko.hashing import ROOT
from rabbit_ko.storage import spare_pandas

Task = TypeVar("Task")
Result = TypeVar("Result")
Executor = Literal["processes", "ray"]
# What is being worked on, how many of it are done, and of how many.
Progress = Callable[[str, int, int], None]

ONE_THREAD = {"RAYON_NUM_THREADS": "1"}


def run(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
    executor: Executor = "processes",
    progress: Progress = lambda *_: None,
    what: str = "tasks",
) -> list[Result]:
    """Return the results of all tasks, in the order in which they come; a task may run twice. Raises UserError."""
    results: list[Result] = []
    found: Iterable[Result] = map(function, tasks)
    if executor == "ray":
        found = _on_ray(function, tasks)
    elif workers > 1:
        found = _in_processes(function, tasks, workers)
    for result in found:
        results.append(result)
        progress(what, len(results), len(tasks))
    return results


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_early() -> None:
    """Let what starts workers import their code while this process has other work."""
    get_context("forkserver").set_forkserver_preload(["dataset_builders.build"])
    with _ctrl_c_later():
        pass


def _in_processes(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    start_early()
    pool = ProcessPoolExecutor(workers, get_context("forkserver"), _start_worker)
    try:
        with _ctrl_c_later():
            futures = [pool.submit(function, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        said = "a worker process was killed, most likely for want of memory; `--workers 1` needs the least"
        raise UserError(f"{said}, and what is done so far is not done again") from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Let Ctrl-C wait while workers start, and block it in them; one that is half started would outlive its pool."""
    # It unblocks Ctrl-C when it starts, so it comes first.
    resource_tracker.ensure_running()
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


def _start_worker() -> None:
    """Leave the other cores to the other workers, and end with the parent, however it ends."""
    os.environ |= ONE_THREAD
    spare_pandas()

    def end_with_parent() -> None:
        if parent := parent_process():
            parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _on_ray(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    """Run the tasks on the cluster at RAY_ADDRESS, or on one of this machine; what a lost node did is done again."""
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("EXECUTOR=ray: Ray is not installed; run `make setup EXTRAS=train,ray`") from None
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    address = os.environ.get("RAY_ADDRESS") or "local"
    modules = [str(ROOT / name) for name in ("dataset_builders", "prompt_strategies", "rabbit_ko")]
    options = {"log_to_driver": False, "include_dashboard": False, "logging_level": logging.ERROR}
    try:
        ray.init(address, runtime_env={"py_modules": modules, "env_vars": ONE_THREAD}, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"Ray: cannot connect to `{address}`: {reason(error)}") from None
    try:
        call = ray.remote(_call).options(max_retries=-1)
        waiting = [call.remote(function, task, str(Path.cwd()), fingerprint.versions()) for task in tasks]
        while waiting:
            done, waiting = ray.wait(waiting)
            yield ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise UserError(f"Ray: {reason(error)}; what is done so far is not done again") from None
    finally:
        ray.shutdown()


def _call(function: Callable[[Task], Result], task: Task, folder: str, versions: dict[str, str]) -> Result:
    # In object storage alone, there need not be such a folder.
    with suppress(OSError):
        os.chdir(folder)
    if differing := versions.items() ^ fingerprint.versions().items():
        raise UserError(f"Ray: install the same versions on all nodes, since the bytes depend on them: {differing}")
    return function(task)
