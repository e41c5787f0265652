"""Whether flash-attn can be compiled here: one line before `make setup EXTRAS=train,flash-attn` continues, or stops.

`python -m rabbit_ko.training.flash_attn` needs no other package than torch.
"""

import re
import shutil
import subprocess

from rabbit_ko.errors import UserError

INSTEAD = "leave flash-attn out of EXTRAS: with `gpu`, FlashAttention comes from the hub, compiled"


def main() -> None:
    """Print the line; exit with 1 where it cannot be compiled."""
    import torch

    try:
        print(f"setup: {describe_build(torch.__version__, torch.version.cuda, nvcc_release())}", flush=True)  # noqa: T201
    except UserError as error:
        raise SystemExit(f"setup: flash-attn cannot be built here: {error}; {INSTEAD}") from None


def describe_build(torch_version: str, built_for: str | None, nvcc: str | None) -> str:
    """Return what the build is made with, and how long it takes. Raises UserError where it must fail.

    built_for: the release of CUDA that torch is built for. nvcc: that of the compiler, None where there is none.
    """
    if built_for is None:
        raise UserError(f"torch {torch_version} is a build for the CPU")
    if nvcc is None:
        raise UserError(f"there is no nvcc on the PATH; install the CUDA toolkit {major(built_for)} for torch")
    if major(nvcc) != major(built_for):
        raise UserError(f"nvcc is of CUDA {nvcc}, and torch {torch_version} is built for CUDA {built_for}")
    return (
        f"flash-attn is compiled by nvcc of CUDA {nvcc} for torch {torch_version}, which takes minutes on 64 cores "
        "and hours on few; MAX_JOBS=4 spares memory"
    )


def nvcc_release() -> str | None:
    """Return the release of the CUDA compiler on the PATH, such as `13.0`; None where there is none that runs."""
    if (nvcc := shutil.which("nvcc")) is None:
        return None
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"release (\d+\.\d+)", said)
    return found[1] if found else None


def major(release: str) -> str:
    """Return what must be the same of two releases of CUDA."""
    return release.partition(".")[0]


if __name__ == "__main__":
    main()
