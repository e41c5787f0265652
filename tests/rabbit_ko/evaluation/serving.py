"""A model behind `transformers serve`, a real OpenAI-compatible server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rabbit_ko.serving.process import running
from tests.conftest import VENV
from tests.loopback import free_port


@contextmanager
def served(command: str) -> Iterator[str]:
    """Run the command that serves a model, with `PORT` in it; give the server's address."""
    port = free_port()
    program, *arguments = command.replace("PORT", str(port)).split()
    url = f"http://127.0.0.1:{port}"
    with running([str(VENV / "bin" / program), *arguments, "--device", "cpu"], url, Path("serve.log"), 600):
        yield url
