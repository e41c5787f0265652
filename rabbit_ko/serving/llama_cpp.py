"""llama.cpp's server on a GGUF: its own program where there is one, the package xllamacpp otherwise."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from rabbit_ko.errors import UserError
from rabbit_ko.training.process import python

PROGRAM = "llama-server"
SMALL_BYTES = 40_000_000
# What makes its answers depend on the model and the prompt alone, in full precision, as far as its weights are.
EXACT = (
    *("--cache-type-k", "f32", "--cache-type-v", "f32", "--flash-attn", "off"),
    *("--parallel", "1", "--no-cache-prompt"),
)


def llama_cpp_command(
    file: Path,
    host: str,
    port: int,
    *,
    context: int,
    exact: bool = False,
    lora: Path | None = None,
    llama_cpp: str = "",
) -> list[str]:
    """Return the command that serves a GGUF under the name of its file. Raises UserError where nothing can.

    context: in tokens, of one conversation. exact: at its most exact setting, otherwise at llama.cpp's own defaults.
    lora: an adapter for the model. llama_cpp: a built checkout, in the place of a program on PATH or the package.
    """
    place = ["--model", str(file), "--host", host, "--port", str(port), "--alias", file.stem]
    # A second thread only waits for the first one where a model is small, and on a busy machine it does so for long.
    threads = ("--threads", "1") if file.stat().st_size < SMALL_BYTES else ()
    options = [*threads, *(EXACT if exact else ()), *(("--lora", str(lora)) if lora else ())]
    return [*_server(llama_cpp), *place, "--ctx-size", str(context), "--offline", "--no-webui", *options]


def _server(llama_cpp: str) -> list[str]:
    if llama_cpp:
        program = Path(llama_cpp) / "build/bin" / PROGRAM
        if not program.is_file():
            build = f"cmake -B build && cmake --build build --target {PROGRAM}"
            raise UserError(f"{program}: not built; run `{build}` in {llama_cpp}")
        return [str(program)]
    if on_path := shutil.which(PROGRAM):
        return [on_path]
    if find_spec("xllamacpp") is None:
        raise UserError(
            "llama.cpp's server is not installed; run `make setup EXTRAS=train,dev,export`, put `llama-server` on "
            "PATH, or say LLAMA_CPP=<a built checkout of llama.cpp>"
        )
    return python("rabbit_ko.serving.llama_cpp_server")
