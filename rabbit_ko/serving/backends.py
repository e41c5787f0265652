"""What serves a stage's complete model, each by its own command: one entry in BACKENDS a server."""

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from axolotl_plugins.checks.model_files import check_model
from rabbit_ko.errors import UnknownName, UserError, suggest
from rabbit_ko.evaluation.models import check_stage, context_of
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import gguf
from rabbit_ko.export._safetensors import stored_as
from rabbit_ko.export.merged import merged_folder
from rabbit_ko.serving.llama_cpp import llama_cpp_command
from rabbit_ko.serving.process import check_port
from rabbit_ko.training.process import python

# What `transformers[serving]` brings.
_SERVING = ("fastapi", "openai", "uvicorn")
# How weights are stored, in vLLM's words.
_DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


@dataclass(frozen=True)
class Place:
    """Where and how a stage is served. context: in tokens, what the model can where it is 0."""

    host: str = "127.0.0.1"
    port: int = 8000
    context: int = 0
    quant: str = ""
    llama_cpp: str = ""


class Served(NamedTuple):
    """The command that serves a model, and the model's name in a request."""

    command: list[str]
    model: str


class Backend(NamedTuple):
    """What finds a server for a stage, and what of a place it takes beside host and port."""

    find: Callable[[Stage, Place], Served]
    takes: tuple[str, ...] = ()


def find_server(stage: Stage, backend: str, place: Place, arguments: Sequence[str] = ()) -> Served:
    """Return what serves a stage at a place. arguments: more of the server's own.

    Raises UnknownName, and UserError where the model, the server or the port is not there.
    """
    if backend not in BACKENDS:
        raise UnknownName(f"BACKEND={backend}: nothing serves by that name{suggest(backend, BACKENDS)}")
    for name, value in {"QUANT": place.quant, "CONTEXT": place.context, "LLAMA_CPP": place.llama_cpp}.items():
        taking = [other for other in BACKENDS if name in BACKENDS[other].takes]
        if value and backend not in taking:
            raise UnknownName(f"{name}={value}: is of BACKEND={' and '.join(taking)} alone")
    if own := next((word for word in arguments if word.partition("=")[0] in _OWN), None):
        raise UnknownName(f"ARGS: {own}: is what `make serve` says itself; give HOST or PORT instead")
    if place.context > (most := context_of(stage)):
        raise UnknownName(f"CONTEXT={place.context}: the model has {most:,} tokens")
    check_stage(stage)
    command, model = BACKENDS[backend].find(stage, place)
    check_port(place.host, place.port)
    return Served([*command, *arguments], model)


# What the URL and the request that are printed rest on.
_OWN = ("--host", "--port", "--model", "-m", "--alias", "-a", "--served-model-name")


def curl(url: str, model: str) -> str:
    """Return a line for a shell that asks a model something."""
    asked = {"model": model, "messages": [{"role": "user", "content": "안녕하세요?"}], "max_tokens": 256}
    body = json.dumps(asked, ensure_ascii=False)
    words = ["curl", "-s", f"{url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", body]
    return shlex.join(words)


def _transformers(stage: Stage, place: Place) -> Served:
    if missing := [name for name in _SERVING if find_spec(name) is None]:
        raise UserError(
            f"transformers serve: {', '.join(missing)} is not installed; `pip install transformers[serving]`"
        )
    folder = _complete(stage)
    command = python("transformers.cli.transformers", "serve", str(folder), *_listen(place))
    return Served([*command, *_trust(stage)], str(folder))


def _vllm(stage: Stage, place: Place) -> Served:
    beside = Path(sys.executable).with_name("vllm")
    program = str(beside) if beside.is_file() else shutil.which("vllm")
    if not program:
        raise UserError("vllm: not on PATH; install it into an environment of its own, and put its `bin` on PATH")
    folder, name = _complete(stage), f"{stage.recipe}-{stage.name}"
    # By itself it computes in 16 bits what is stored in 32.
    dtype = _DTYPES[stored_as(folder)]
    limits = ("--max-model-len", str(place.context or context_of(stage)), "--dtype", dtype)
    command = [program, "serve", str(folder), "--served-model-name", name, *_listen(place), *limits]
    return Served([*command, *_trust(stage)], name)


def _llamacpp(stage: Stage, place: Place) -> Served:
    [file] = gguf.made(stage, place.quant, thorough=False)
    context = place.context or context_of(stage)
    return Served(
        llama_cpp_command(file, place.host, place.port, context=context, llama_cpp=place.llama_cpp), file.stem
    )


def _complete(stage: Stage) -> Path:
    folder = merged_folder(stage)
    check_model(folder, stage.trusted)
    return folder


def _listen(place: Place) -> tuple[str, ...]:
    return "--host", place.host, "--port", str(place.port)


def _trust(stage: Stage) -> tuple[str, ...]:
    return ("--trust-remote-code",) if stage.trusted else ()


BACKENDS = {
    "llamacpp": Backend(_llamacpp, ("QUANT", "CONTEXT", "LLAMA_CPP")),
    "transformers": Backend(_transformers),
    "vllm": Backend(_vllm, ("CONTEXT",)),
}
