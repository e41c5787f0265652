"""llama.cpp's server on a GGUF: its own program where there is one, the package xllamacpp otherwise."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from rabbit_ko.export._llama_cpp import SETUP, find_program
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
    if not llama_cpp and not shutil.which(PROGRAM) and find_spec("xllamacpp"):
        return python("rabbit_ko.serving.llama_cpp_server")
    return [find_program(PROGRAM, llama_cpp, f"{SETUP} and give none, which brings a package that serves")]
