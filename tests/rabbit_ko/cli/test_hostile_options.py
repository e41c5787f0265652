"""Every option of every command, given a text that drives a terminal and holds secrets: neither comes out."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from typer.main import get_command

from rabbit_ko.cli import main, subcommands
from rabbit_ko.cli.app import app
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import ROOT

PASSWORD, TOKEN = "hunter2-of-the-user", "query-that-nobody-may-read"
HOSTILE = f"https://me:{PASSWORD}@127.0.0.1:9/a\x1b]52;c;eA==\x07\r\x9b2J\u202e한?token={TOKEN}"
DRIVING = "\x1b\x07\r\x9b\u202e"


def text_options(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each command's path, and the name of each of its parameters that takes a text."""
    for name, sub in subcommands(command).items():
        yield from text_options(sub, (*path, name))
    texts = (click.types.StringParamType, click.Path, click.Choice, click.types.FuncParamType)
    for parameter in command.params if path else ():
        if isinstance(parameter.type, texts) or type(parameter.type).__name__ == "TyperPath":
            yield path, str(parameter.name)


def call_with(path: tuple[str, ...], name: str) -> list[str]:
    """Return a call of the command in which the parameter has the hostile text."""
    command = get_command(app)
    for step in path:
        command = subcommands(command)[step]
    words = list(path)
    for parameter in command.params:
        value = HOSTILE if parameter.name == name else "x"
        if isinstance(parameter, click.Argument) and (parameter.required or parameter.name == name):
            words.append(value)
        elif parameter.name == name:
            words += [parameter.opts[0], value]
    return words


@pytest.fixture
def _copy(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the recipes, in which nothing long is started."""
    shutil.copytree(ROOT / "axolotl_configs", "axolotl_configs")

    def refuse(command: Any, *_: Any, **__: Any) -> None:
        raise UserError(" ".join(map(str, command)))

    monkeypatch.setattr("rabbit_ko.training.run.run_logged", refuse)
    monkeypatch.setattr("rabbit_ko.cli.whole_way.subprocess.run", refuse)


@pytest.mark.hostile
@pytest.mark.usefixtures("_copy")
@pytest.mark.parametrize(("path", "name"), list(text_options(get_command(app))))
def test_no_option_drives_the_terminal_or_shows_a_secret(
    path: tuple[str, ...], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(call_with(path, name))
    said = "".join(capfd.readouterr())
    assert ended.value.code in (0, 1, 2)
    assert "fault of this project" not in said
    assert not [part for part in (PASSWORD, TOKEN, *DRIVING) if part in said], said
