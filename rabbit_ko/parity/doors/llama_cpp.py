"""A GGUF through llama.cpp's server, which is started for it, at its most exact setting or at llama.cpp's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prompt_strategies.messages import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import find_endpoint
from rabbit_ko.parity.answers import Answered
from rabbit_ko.parity.doors.server import TIMEOUT, ServerDoor
from rabbit_ko.serving.llama_cpp import llama_cpp_command
from rabbit_ko.serving.process import free_port, running

HOST = "127.0.0.1"


@dataclass(frozen=True)
class LlamaCppDoor:
    """A GGUF, and the adapter for it where it is one's base. log: where the server's output goes."""

    name: str
    file: Path
    quant: str
    context: int
    log: Path
    exact: bool
    lora: Path | None = None
    llama_cpp: str = ""

    @property
    def files(self) -> Sequence[Path]:
        """The model and its adapter."""
        return [self.file, *([self.lora] if self.lora else [])]

    def answer(self, conversations: Sequence[Messages], max_new_tokens: int) -> list[Answered]:
        """Serve the file and ask for each answer, one after the other. Raises UserError."""
        port = free_port()
        command = llama_cpp_command(
            self.file, HOST, port, context=self.context, exact=self.exact, lora=self.lora, llama_cpp=self.llama_cpp
        )
        with running(command, f"http://{HOST}:{port}", self.log) as server:
            endpoint = find_endpoint("MODEL", f"http://{HOST}:{port}/v1", self.file.stem, 1, TIMEOUT, advice="")
            try:
                return ServerDoor(self.name, endpoint, self.quant).answer(conversations, max_new_tokens)
            except UserError:
                server.check()
                raise
