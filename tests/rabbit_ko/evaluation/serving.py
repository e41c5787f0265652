"""A model behind `transformers serve`, a real OpenAI-compatible server."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.conftest import VENV, environment


@contextmanager
def served(command: str) -> Iterator[str]:
    """Run the command that serves a model, with `PORT` in it; give the server's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [*command.replace("PORT", port).split(), "--device", "cpu"]
    path = f"{VENV / 'bin'}:/usr/bin:/bin"
    variables = environment(HF_HUB_OFFLINE="1", AXOLOTL_DO_NOT_TRACK="1", PATH=path)
    log = Path("serve.log")
    with log.open("w") as output:
        server = subprocess.Popen(words, env=variables, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 120
        while not _is_up(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False
