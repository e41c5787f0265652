"""The command `rabbit`, run in this process."""

from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

import pytest

from rabbit_ko.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def rabbit(*arguments: str) -> Ran:
    """Run a command to its end."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as error, pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    return Ran(code if isinstance(code, int) else int(code is not None), out.getvalue(), error.getvalue())
