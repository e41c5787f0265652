"""A server in a process of its own, which is up while it is needed, and never longer.

On Linux it also ends where this process is killed.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx

from rabbit_ko.errors import UserError, printable
from rabbit_ko.terminal import say
from rabbit_ko.training.process import logged, python

# A server has what it serves on this machine: it neither asks the hub for more nor reports what it does.
ALONE = {
    **{"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"},
    **{"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"},
}
TAIL = 400
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS, END_SECONDS = 0.2, 15.0
# What says why a server ended: the first error of llama.cpp, and of Python the last exception that is no echo.
_LLAMA_CPP = re.compile(r"^[\d.]+ E \s*(?P<said>.+)$")
_EXCEPTION = re.compile(
    r"^(?:\([^)]*\) )?(?:ERROR [^\]]*\] )?"
    r"(?:  (?=Value error, ))?(?P<said>(?:[A-Za-z_][\w.]*(?:Error|Exception):|Value error,) .+)$"
)
# What a command says of options that it does not know.
_USAGE = re.compile(r"^(?:[\w. -]{1,60}: )?[Ee]rror: (?P<said>.+)$")
_ECHO = re.compile(r"Engine core initialization failed|Failed core proc")


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on now."""
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Raise UserError where a server cannot listen at a place."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{host}:{port}: nothing can be served there: {why}; say another --host or --port") from None


def url_of(host: str, port: int) -> str:
    """Return the URL at which a server is reached from this machine."""
    near = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{near}]' if ':' in near else near}:{port}"


@contextmanager
def running(
    command: Sequence[str], url: str, log: Path, seconds: float = 600, *, debug: bool = False
) -> Iterator["Server"]:
    """Start a server and give it once it answers at `url`; end it, with all that it has started, when this ends.

    log: to whose end all of its output goes; debug: to the terminal instead. Raises UserError with one line where it
    ends by itself or does not answer in so many seconds.
    """
    if not debug:
        _check_log(log)
    output = None if debug else subprocess.PIPE
    with ExitStack() as ends:
        with _signals_wait():
            try:
                process = subprocess.Popen(
                    _beside(command),
                    env={**os.environ, **ALONE},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output and subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise UserError(f"{command[0]}: cannot be started: {error.strerror}") from None
            ends.callback(_end, process)
        server = Server(process, log)
        server.wait_until_up(url, seconds)
        yield server


def _beside(command: Sequence[str]) -> list[str]:
    """Return what starts a command that ends with this process. Raises UserError where there is no such program."""
    if not shutil.which(command[0]):
        raise UserError(f"{command[0]}: cannot be started: no such program")
    beside = python("rabbit_ko.serving.beside", str(os.getpid())) if sys.platform == "linux" else []
    return [*beside, *command]


def _check_log(log: Path) -> None:
    """Raise UserError where nothing can be written to a log."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
    except OSError as error:
        raise UserError(f"{log}: what the server says cannot be written there: {error.strerror}") from None


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Let what would end this process come after the block: a child that nobody knows yet could not be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, lambda sent, _: came.append(sent)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for sent in came:
            signal.raise_signal(sent)


class Server:
    """A server that runs, whose output a thread writes to its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log
        self.last = deque[str](maxlen=TAIL)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        if self.process.stdout:
            with self.process.stdout as output:
                try:
                    self.last.extend(logged(output, self.log))
                except OSError as error:
                    said = f"{self.log}: {error.strerror}; what the server says is not written there from here on"
                    say(said, is_error=True)
                    # A server whose output nobody reads stands still.
                    self.last.extend(logged(output, Path(os.devnull)))

    def wait_until_up(self, url: str, seconds: float) -> None:
        """Return once it answers. Raises UserError."""
        latest = time.monotonic() + seconds
        while not _is_up(url):
            self.check()
            if time.monotonic() > latest:
                raise UserError(f"the server does not answer at {url} after {seconds:.0f} s; its log is {self.log}")
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Raise UserError where it has ended."""
        if (code := self.process.poll()) is not None:
            raise UserError(
                f"the server ended: {self._why(code)}{'; its log is ' + str(self.log) if self.process.stdout else ''}"
            )

    def wait(self) -> None:
        """Wait for its end, which nobody asked for. Raises UserError."""
        self.process.wait()
        self.check()

    def _why(self, code: int) -> str:
        self.reader.join(POLL_SECONDS)
        return why(list(self.last)) or (
            f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        )


def why(lines: Sequence[str]) -> str:
    """Return what a server's output says of why it ended, or nothing."""
    for pattern in (_LLAMA_CPP, _USAGE):
        if first := next(filter(None, map(pattern.match, lines)), None):
            return printable(first["said"])
    exceptions = [found["said"] for found in map(_EXCEPTION.match, lines) if found]
    causes = [said for said in exceptions if not _ECHO.search(said)]
    return printable((causes or exceptions or [""])[-1])


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its group, politely first."""
    try:
        process.terminate()
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
