"""What a machine has for training, in ten lines, and what is wrong with it: `rabbit doctor`."""

import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from rabbit_ko.recipes import RUNS

GIB = 2**30
# The merged model of a base of 3 billion parameters, and two checkpoints; what a run of the smoke recipe holds.
DISK, MEMORY = 8 * GIB, 2 * GIB


@dataclass(frozen=True)
class Finding:
    """One thing of a machine: what it is here, and what is wrong with it and to be done, empty where it is right."""

    name: str
    found: str
    wrong: str = ""

    def __str__(self) -> str:
        return f"{self.name:10} {self.found}{f'; WRONG: {self.wrong}' if self.wrong else ''}"

    def to_json(self) -> dict[str, str]:
        """Return it as `--json` prints it."""
        return asdict(self)


def examine() -> list[Finding]:
    """Return what there is on this machine, at most ten things; it takes some seconds, for the imports."""
    from axolotl_plugins.checks.machine import driver, free_bytes

    nvidia = driver()
    sections: Iterable[Callable[[], Finding]] = (
        lambda: check_python(platform.python_version()),
        lambda: check_axolotl(installed("axolotl")),
        check_torch,
        lambda: check_driver(nvidia),
        lambda: check_gpus(gpus(), nvidia),
        check_attention,
        lambda: check_deepspeed(installed("deepspeed")),
        lambda: check_disk(RUNS, free_bytes(RUNS)),
        lambda: check_memory(*memory()),
    )
    return [section() for section in sections]


def installed(package: str) -> str | None:
    """Return the version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def wanted(package: str) -> Requirement | None:
    """Return what this project asks of a package, in any of its extras; None where it asks for nothing."""
    asked = (Requirement(line) for line in requires("rabbit-ko") or [])
    return next((line for line in asked if line.name == package), None)


def check_python(here: str) -> Finding:
    """Return the version of Python."""
    is_known = here.startswith(("3.11.", "3.12."))
    return Finding("Python", here, "" if is_known else "take 3.11 or 3.12: `make setup PYTHON=python3.12`")


def check_axolotl(here: str | None) -> Finding:
    """Return the version of axolotl, which has to be one that this project knows."""
    return _of_package("axolotl", here, "`make setup` installs it")


def check_deepspeed(here: str | None) -> Finding:
    """Return the version of DeepSpeed, which only the shardings of its name need."""
    if here is None:
        return Finding("DeepSpeed", "not installed; SHARDING=zero1, zero2 and zero3 need it: EXTRAS=train,gpu")
    return _of_package("DeepSpeed", here, "`make setup EXTRAS=train,gpu` installs one that works")


def _of_package(name: str, here: str | None, advice: str) -> Finding:
    if here is None:
        return Finding(name, "not installed", advice)
    asked = wanted(name.lower())
    fits = asked is None or asked.specifier.contains(here, prereleases=True)
    return Finding(name, here, "" if fits else f"this project takes {asked}; {advice}")


def check_torch() -> Finding:
    """Return the version of torch, and what it is built for."""
    import torch

    built_for = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU"
    return Finding("torch", f"{torch.__version__}, built {built_for}")


def check_driver(found: str | None) -> Finding:
    """Return the release of the NVIDIA driver, which has to be new enough for torch's build."""
    import torch

    from axolotl_plugins.checks.machine import why_no_gpu

    if found is None:
        return Finding("driver", "none of NVIDIA; only the smoke recipe runs without a GPU")
    return Finding("driver", found, "" if torch.cuda.is_available() else why_no_gpu(found))


def gpus() -> list[tuple[str, int, int]]:
    """Return each GPU that torch sees: its name, the bytes of its memory, and its generation."""
    import torch

    seen = map(torch.cuda.get_device_properties, range(torch.cuda.device_count() if torch.cuda.is_available() else 0))
    return [(gpu.name, gpu.total_memory, gpu.major) for gpu in seen]


def check_gpus(seen: list[tuple[str, int, int]], nvidia: str | None) -> Finding:
    """Return the GPUs with their memory, which have to compute in bf16."""
    if not seen:
        return Finding("GPUs", "none" if nvidia is None else "none that torch sees")
    shown = [f"{name} with {memory / GIB:.0f} GiB" for name, memory, _ in seen]
    old = [name for name, _, generation in seen if generation < 8]
    counted = (f"{shown.count(name)} x {name}" for name in dict.fromkeys(shown))
    wrong = f"{old[0]} has no bf16, which the recipes train in; write `bf16: false` and `fp16: true`" if old else ""
    return Finding("GPUs", ", ".join(counted), wrong)


def check_attention() -> Finding:
    """Return the attention that `auto` takes here."""
    from axolotl_plugins.checks.speed import FALLBACK, best_attention

    best = best_attention()
    return Finding("attention", f"{best}, which `auto` takes{', of torch itself' if best == FALLBACK else ''}")


def check_disk(folder: Path, free: int) -> Finding:
    """Return what is free on the disk of the runs."""
    wrong = f"checkpoints and merged models take more than {DISK / GIB:.0f} GiB; free some" if free < DISK else ""
    return Finding("disk", f"{free / GIB:.1f} GiB free in {folder}/", wrong)


def memory() -> tuple[int, int]:
    """Return the bytes of memory that are free, and all of them."""
    import psutil

    here: Any = psutil.virtual_memory()
    return here.available, here.total


def check_memory(free: int, total: int) -> Finding:
    """Return what is free of the memory."""
    wrong = f"even the smoke recipe takes {MEMORY / GIB:.0f} GiB; end other processes" if free < MEMORY else ""
    return Finding("memory", f"{free / GIB:.1f} of {total / GIB:.1f} GiB free", wrong)
