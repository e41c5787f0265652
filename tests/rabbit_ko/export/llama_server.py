"""llama.cpp's own server on a file, as it is for its users: what it makes of texts and conversations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from rabbit_ko.serving.llama_cpp import llama_cpp_command
from rabbit_ko.serving.process import running
from tests.loopback import free_port


class LlamaServer(httpx.Client):
    """A client of the server."""

    def ask(self, route: str, **body: Any) -> Any:
        """Return what the server answers."""
        return self.post(route, json=body).raise_for_status().json()

    def ids(self, text: str, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Return a text's tokens."""
        asked = {"content": text, "add_special": add_special, "parse_special": parse_special}
        tokens: list[int] = self.ask("/tokenize", **asked)["tokens"]
        return tokens

    def stops_at(self, token: int) -> bool:
        """Tell whether an answer ends where the model takes this token, which it is made to take at once."""
        said = self.ask("/completion", prompt="가", n_predict=2, logit_bias=[[token, 1_000]], temperature=0)
        return bool(said["stop_type"] == "eos")


@contextmanager
def serving(file: Path, adapter: Path | None = None) -> Iterator[LlamaServer]:
    """Serve a file, an adapter's added to it, at its most exact setting; its log is in the working directory."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = llama_cpp_command(file, "127.0.0.1", port, context=512, exact=True, lora=adapter)
    with running(command, url, Path("llama_server.log"), 300), LlamaServer(base_url=url, timeout=300) as client:
        yield client
