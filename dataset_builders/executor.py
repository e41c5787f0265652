"""Where work is done: in this process, in processes of this machine, or on a Ray cluster; the bytes are the same."""

import importlib
import logging
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context, parent_process, resource_tracker
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, TypeVar

from dataset_builders import fingerprint
from rabbit_ko.errors import UserError, reason

Task = TypeVar("Task")
Result = TypeVar("Result")
Executor = Literal["processes", "ray"]

ONE_THREAD = {"RAYON_NUM_THREADS": "1"}


def run(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int, executor: Executor = "processes"
) -> Iterator[Result]:
    """Yield the results of all tasks, in the order in which they come; work starts while tasks are still listed.

    A task may run more than once, so it must leave the same files each time. Raises what a task raises, and UserError
    where a process is killed or Ray fails.
    """
    if executor == "ray":
        yield from _on_ray(function, list(tasks))
    elif workers <= 1:
        yield from map(function, tasks)
    else:
        yield from _in_processes(function, tasks, workers)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(function: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    _start_forkserver()
    pool = ProcessPoolExecutor(workers, get_context("forkserver"), _start_worker)
    done: SimpleQueue[Future[Result]] = SimpleQueue()
    left = 0
    try:
        for task in tasks:
            with _ctrl_c_held_back():
                future = pool.submit(function, task)
            future.add_done_callback(done.put)
            left += 1
            while not done.empty():
                left -= 1
                yield done.get().result()
        for _ in range(left):
            yield done.get().result()
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed, most likely for want of memory; `--workers 1` needs the least, and what is "
            "done so far is not done again"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Let Ctrl-C wait: a worker that is half started belongs to no pool, and so would outlive it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)


def _start_forkserver() -> None:
    """Start the process that workers are forked from, with Ctrl-C blocked: it is the parent's to deal with.

    Workers inherit that, and so are deaf to Ctrl-C from their first moment.
    """
    get_context("forkserver").set_forkserver_preload(["dataset_builders.build"])
    # It unblocks Ctrl-C when it starts, so it comes first.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Leave the other cores to the other workers, and end with the parent, however it ends."""
    os.environ |= ONE_THREAD
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
    os._exit(1)


def _on_ray(function: Callable[[Task], Result], tasks: list[Task]) -> Iterator[Result]:
    """Run the tasks on Ray Data, which runs those of a lost node again on another."""
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("EXECUTOR=ray: Ray is not installed; run `make setup EXTRAS=train,ray`") from None
    if not tasks:
        return
    shared = str(Path.cwd()), fingerprint.versions(), function
    calls = [{"call": pickle.dumps((*shared, task))} for task in tasks]
    with _connected(ray):
        try:
            dataset = ray.data.from_items(calls, override_num_blocks=len(calls)).map(_call)
            for row in dataset.iter_rows():
                result, error = pickle.loads(row["done"])
                if error:
                    raise error
                yield result
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            raise UserError(f"Ray: {reason(error)}; what is done so far is not done again") from None


def _call(row: dict[str, bytes]) -> dict[str, bytes]:
    """Run a task on a node of the cluster; an error that is a line goes back as a value, without traceback."""
    folder, versions, function, task = pickle.loads(row["call"])
    # In object storage alone, there need not be such a folder.
    with suppress(OSError):
        os.chdir(folder)
    try:
        _check_versions(versions)
        return {"done": pickle.dumps((function(task), None))}
    except (UserError, OSError) as error:
        return {"done": pickle.dumps((None, error))}


def _check_versions(expected: dict[str, str]) -> None:
    here = fingerprint.versions()
    if mistakes := [name for name in sorted(expected | here) if here.get(name) != expected.get(name)]:
        name = mistakes[0]
        raise UserError(
            f"Ray: a node has {name} {here.get(name)}, and this machine {expected.get(name)}; the bytes depend on "
            "it, so install the same on all"
        )


@contextmanager
def _connected(ray: Any) -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or to one of this machine that ends with the work."""
    importlib.import_module("ray.data")
    _silence(ray)
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS") or "local"
    modules = [
        str(Path(__file__).parents[1] / name) for name in ("dataset_builders", "prompt_strategies", "rabbit_ko")
    ]
    try:
        ray.init(
            address,
            runtime_env={"py_modules": modules, "env_vars": ONE_THREAD},
            log_to_driver=False,
            include_dashboard=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"Ray: cannot connect to `{address}`: {reason(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _silence(ray: Any) -> None:
    """Let Ray send nobody figures of its use, and write to its log files only."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    logging.getLogger("ray").setLevel(logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL + 1)
    ray.data.DataContext.get_current().enable_progress_bars = False
