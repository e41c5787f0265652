"""What a source is, and the shapes that several sources share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataset_builders.licenses import NONE, License
from dataset_builders.rows import (
    Message,
    Row,
    assistant,
    conversation,
    preference,
    row_id,
    said_by,
    system,
    user,
    without_greeting,
)
from dataset_builders.sources._text import composed, text
from dataset_builders.sources._tools import tools
from dataset_builders.sources._turns import STYLES, Style, history, turn, turns
from rabbit_ko.errors import Rejected
from rabbit_ko.methods import RowKind

__all__ = ["RawRow", "Source", "exchange", "text", "turn", "turn_list", "turns"]

RawRow = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Source:
    """How raw rows become rows of the kind `rows`: the fields that they must and may have, and a rule.

    convert: a raw row by those fields, and the name in ids, to a row; it raises Rejected. upstream_rows: as its page
    says. translated: by a machine. numbers_are_labels: whether 0 and 1 under `label` are a verdict, and no class.
    file: the one file that is read where the path is a folder. beside: columns on how its rows came to be, which stay
    in that file, by the rows' ids. has_answers: whether a row can be trained on; others stand in pairs.yaml alone.
    any_language: whether rows need no Hangul, whatever the entry's language.
    """

    rows: RowKind
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    convert: Callable[[RawRow, str], Row]
    license: License = NONE
    upstream_rows: int | None = None
    translated: bool = False
    numbers_are_labels: bool = False
    file: str = ""
    beside: tuple[str, ...] = ()
    has_answers: bool = True
    any_language: bool = False


def exchange(
    user_field: str, answer_fields: tuple[str, ...], *, system_field: str = "", context: str = "", key: str = ""
) -> Callable[[RawRow, str], Row]:
    """Return the rule for a question, with a context after it, and an answer, or a chosen and a rejected one.

    Where the source has a field `history`, its turns come before the question.
    """

    def convert(row: RawRow, source: str) -> Row:
        question = text(row, user_field)
        if (given := text(row, context)).strip():
            question = f"{question}\n\n{given}"
        prompt = [*system(text(row, system_field)), user(question)]
        if "history" in row:
            prompt[-1:-1] = history(row)
        answers = [assistant(text(row, name)) for name in answer_fields]
        name = row_id(source, [said_by([*prompt, *answers])], upstream=row.get(key))
        if len(answers) == 1:
            return conversation(name, source, [*prompt, *answers])
        return preference(name, source, prompt, answers[0], answers[1])

    return convert


def turn_list(field: str, style: Style) -> Callable[[RawRow, str], Row]:
    """Return the rule for a list of turns, up to the last answer, with `system`, tools and `id` beside it.

    style: the keys by which a turn without any is described; turns in the other style are read, too.
    """
    assert style in STYLES

    def convert(row: RawRow, source: str) -> Row:
        messages = with_system(text(row, "system"), turns(row, field, style))
        offered = tools(row)
        if offered and any("<tool_call>" in message["content"] for message in messages):
            raise Rejected("calls of tools within a text; give them as `tool_calls`, or as turns of `function_call`")
        name = row_id(source, [said_by(messages, offered)], upstream=row.get("id"))
        return conversation(name, source, *without_greeting(messages), offered)

    return convert


def with_system(content: str, messages: list[Message]) -> list[Message]:
    """Return messages with a system message in front, in place of a blank one, unless they begin with the same."""
    given = system(content)
    if not given or not messages or messages[0]["role"] != "system":
        return [*given, *messages]
    if not messages[0]["content"].strip():
        return [*given, *messages[1:]]
    return messages if composed(messages[0]["content"]) == composed(content) else [*given, *messages]
