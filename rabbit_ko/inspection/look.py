"""What a file would be in a data.yaml, in the terminal: rows as they would be trained, counts, and the entry."""

from collections.abc import Iterator
from textwrap import indent

import yaml
from rich.text import Text

from dataset_builders.look import Look
from dataset_builders.read.files import shown_note
from dataset_builders.rows import Conversation, Labelled, Message, Row, all_messages
from dataset_builders.sources import SOURCES
from prompt_strategies.messages import is_plain
from prompt_strategies.template import Template, render_answer, render_prompt
from rabbit_ko.errors import printable
from rabbit_ko.inspection.turns import names_of, parts
from rabbit_ko.secrets import redact
from rabbit_ko.terminal import BREAKS, Terminal

_NOT_RENDERED = "tools or reasoning: `qir` and `iir` drop such a row, `native` renders it as the base has it"
LICENSE_HINT = "    # license: <the one that its owner gives it, such as Apache-2.0>\n"


def print_look(console: Terminal, found: Look, template: Template, count: int) -> None:
    """Print the first rows in a template, or turn by turn where they have tools or reasoning, and the entry."""
    for number, row in enumerate(found.kept[:count], start=1):
        console.print(f"--- row {number}, {printable(row.id)}", style="dim")
        if row.tools or not is_plain(all_messages(row)):
            console.print(f"({_NOT_RENDERED})", style="dim")
            _print_turns(console, row)
        else:
            _print_rendered(console, row, template)
    console.print(f"\n{len(found.kept):,} of the first {found.read:,} rows would be kept")
    for line in remarks(found):
        console.print(line)
    console.print("\nFor data.yaml:\n\n" + entry_text(found), end="")


def _print_rendered(console: Terminal, row: Row, template: Template) -> None:
    console.print(Text(printable(render_prompt(template, row.prompt), keep=BREAKS)), end="")
    for title, answer in answers(row):
        name = Text(f"({title}) " if title else "", "dim")
        said = Text(printable(render_answer(answer), keep=BREAKS), "bold green")
        console.print(name + said + Text("<EOS>", "dim"))


def _print_turns(console: Terminal, row: Row) -> None:
    if row.tools:
        console.print(Text("tools: ", "dim") + Text(printable(names_of(row.tools))))
    for message in row.prompt:
        _print_message(console, message)
    for title, answer in answers(row):
        _print_message(console, answer, f"({title}) " if title else "", "bold green")


def _print_message(console: Terminal, message: Message, title: str = "", style: str = "") -> None:
    for name, said in parts(message):
        console.print(Text(f"{title}{name}: ", "dim") + Text(printable(said, keep=BREAKS), style))


def answers(row: Row) -> Iterator[tuple[str, Message]]:
    """Yield a row's answers, each with what it is called; that of a conversation has no name."""
    if isinstance(row, Conversation):
        yield "", row.messages[-1]
    elif isinstance(row, Labelled):
        yield "good" if row.label else "bad", row.completion[0]
    else:
        yield from (("chosen", row.chosen[0]), ("rejected", row.rejected[0]))


def remarks(found: Look) -> Iterator[str]:
    """Yield a line for each reason to reject rows, for the columns that nothing reads, and for each note on files."""
    yield from (f"  {count:,} rejected: {printable(reason)}" for reason, count in found.rejected.most_common())
    if found.unread:
        yield f"  nothing reads {', '.join(f'`{printable(name)}`' for name in found.unread)}"
    yield from (f"  {shown_note(note)}" for note in found.notes)


def entry_text(found: Look) -> str:
    """Return the entry as it stands in a data.yaml."""
    text = "sources:\n" + indent(yaml.safe_dump([redact(found.entry)], allow_unicode=True, sort_keys=False), "  ")
    return text if SOURCES[found.entry["source"]].license.stated else text + LICENSE_HINT
