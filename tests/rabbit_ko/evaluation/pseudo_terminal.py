"""A command on a pseudo-terminal, to which a test types."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Mapping
from pathlib import Path

SECONDS = 300.0


class PseudoTerminal:
    """A process with a terminal of 80 columns and 24 lines; it is ended when the block ends."""

    def __init__(self, command: list[str], folder: Path, variables: Mapping[str, str]) -> None:
        self.said = self.all_said = ""
        self._bytes = b""
        self.exit_code: int | None = None
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, {**variables, "TERM": "xterm-256color"})
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def __enter__(self) -> "PseudoTerminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.exit_code is None:
            os.kill(self.process, 9)
            os.waitpid(self.process, 0)
        os.close(self.terminal)

    def send(self, text: str | bytes) -> None:
        """Type a text, while what is shown is read, so that neither waits for the other."""
        rest = text.encode() if isinstance(text, str) else text
        while rest:
            if select.select([], [self.terminal], [], 0.05)[1]:
                rest = rest[os.write(self.terminal, rest[:512]) :]
            self._read(0)

    def expect(self, pattern: str) -> re.Match[str]:
        """Return the first place of a pattern in what was shown since the last one; fail where it does not come."""
        end = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.said)):
            assert time.monotonic() < end, (pattern, self.said[-2_000:])
            assert self._read(0.2), (pattern, self.said[-2_000:])
        self.said = self.said[found.end() :]
        return found

    def wait(self) -> int:
        """Return the exit code of the process, which ends by itself."""
        while self._read(0.2):
            pass
        _, status = os.waitpid(self.process, 0)
        self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code

    def _read(self, seconds: float) -> bool:
        """Read what is shown by then; tell whether the process may still show something."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            return True
        try:
            content = os.read(self.terminal, 65_536)
        except OSError:  # its other end is closed
            return False
        self._bytes += content
        text = self._bytes.decode(errors="ignore")
        self._bytes = self._bytes[len(text.encode()) :]
        self.said, self.all_said = self.said + text, self.all_said + text
        return bool(content)
