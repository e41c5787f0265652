"""Where work is done: in this process, in processes of this machine, or on a Ray cluster; the bytes are the same."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from typing import Any, Literal, TypeVar

from dataset_builders.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")
Engine = Literal["processes", "ray"]


def run(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int, engine: Engine = "processes"
) -> Iterator[Result]:
    """Yield the results of all tasks, in the order in which they come.

    A task may run more than once, so it must leave the same files each time. Raises what a task raises.
    """
    if engine == "ray":
        yield from _on_ray(function, tasks)
    elif workers <= 1:
        yield from map(function, tasks)
    else:
        yield from _in_processes(function, tasks, workers)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(function: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    context.set_forkserver_preload(["dataset_builders.build"])
    pool = ProcessPoolExecutor(workers, context, _start_worker)
    try:
        for future in as_completed([pool.submit(function, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed, most likely for want of memory; `--workers 1` needs the least, and what is "
            "done so far is not done again"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # One thread a worker: there are as many workers as cores.
    os.environ["RAYON_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
    os._exit(1)


def _on_ray(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Run the tasks on Ray Data, on the cluster that RAY_ADDRESS names or on this machine; lost ones are run again."""
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("ENGINE=ray: Ray is not installed; run `make setup EXTRAS=train,ray`") from None
    tasks = list(tasks)
    if not tasks:
        return
    _connect(ray)
    dataset = ray.data.from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks))
    results = dataset.map(lambda row: {"result": function(row["task"])}, max_retries=-1)
    for row in results.iter_rows():
        yield row["result"]


def _connect(ray: Any) -> None:
    if not ray.is_initialized():
        root = Path(__file__).parents[1]
        modules = [str(root / name) for name in ("dataset_builders", "prompt_strategies")]
        ray.init(runtime_env={"py_modules": modules}, log_to_driver=False, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
