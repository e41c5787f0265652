"""What a person asks: typed in an editor on a terminal, or read as lines from a file or a pipe."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import suppress

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.defaults import create_output


def is_typed() -> bool:
    """Tell whether a person types at a terminal, and sees what is typed."""
    return sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())


def questions() -> Iterator[str]:
    """Yield each question without white space around it, until Ctrl-D or the end of the input."""
    for text in _typed() if is_typed() else _lines():
        if question := whole_characters(text).strip():
            yield question


def whole_characters(text: str) -> str:
    """Return text in which half characters, which no tokenizer takes, are replaced by `�`."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _lines() -> Iterator[str]:
    with suppress(KeyboardInterrupt):
        for line in sys.stdin.buffer:
            yield line.decode(errors="replace")


def _typed() -> Iterator[str]:
    """Yield what is typed, or pasted in several lines, up to Enter.

    Earlier questions come back with the arrow keys. They are kept in memory alone, since a question may hold what is
    personal or secret, and nobody expects a chat to leave a file.
    """
    # A terminal is not asked where its cursor is: one that says nothing would be warned of.
    os.environ["PROMPT_TOOLKIT_NO_CPR"] = "1"
    session: PromptSession[str] = PromptSession(
        "> ",
        multiline=True,
        prompt_continuation="  ",
        history=InMemoryHistory(),
        key_bindings=_keys(),
        enable_suspend=True,
        reserve_space_for_menu=0,
        output=create_output(always_prefer_tty=True),
    )
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            yield session.prompt()


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _ask(event: KeyPressEvent) -> None:
        if _is_pasting(event.app):
            event.current_buffer.newline(copy_margin=False)
        else:
            event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _break_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-c")
    def _clear_or_leave(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=EOFError)

    return keys


def _is_pasting(app: Application[str]) -> bool:
    """Tell whether more follows a line break at once, which nobody types; not each terminal says that it pastes."""
    return bool(app.key_processor.input_queue or select.select([app.input.fileno()], [], [], 0)[0])
