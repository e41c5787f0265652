"""What the servers that tests run on this machine have in common."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, TypeVar

# Below those that a system gives out by itself, so that nothing else takes one before a server listens there.
_PORTS = count(20_000 + os.getpid() % 120 * 100)


def free_port() -> int:
    """Return a port of this machine that nothing listens at, another one each time."""
    for port in _PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OverflowError("there are no more ports")


class LoopbackServer(ThreadingHTTPServer):
    """A server at a free port, which answers from a thread of its own for each connection."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.lock = threading.Lock()

    def handle_error(self, *_: Any) -> None:
        """Say nothing about connections that break off."""


class LoopbackHandler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def drop(self) -> None:
        """Close the connection at once, with a reset, whatever is still under way."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.connection.close()

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        """Answer, to HEAD without the content."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


Server = TypeVar("Server", bound=LoopbackServer)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Let a server answer until the end of the block."""
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()
