"""Shapes that several sources have in common: one exchange in columns of text, and a list of turns."""

from collections.abc import Callable

from dataset_builders.rows import (
    Conversation,
    Row,
    assistant,
    contents,
    conversation,
    preference,
    row_id,
    system,
    user,
)
from dataset_builders.sources._source import RawRow, text, turns


def exchange(
    user_field: str, answer_fields: tuple[str, ...], *, system_field: str = "", context: str = "", key: str = ""
) -> Callable[[RawRow, str], Row]:
    """Return the rule for a question with one answer, or with two: the chosen and the rejected one.

    `context` comes behind the question, after a blank line; a blank context or system prompt is none. `key` is the
    upstream id. Fields that a source does not have are empty names.
    """

    def convert(row: RawRow, source: str) -> Row:
        question = text(row, user_field)
        if context and (behind := text(row, context)).strip():
            question = f"{question}\n\n{behind}"
        prompt = [*system(text(row, system_field)), user(question)] if system_field else [user(question)]
        answers = [text(row, name) for name in answer_fields]
        name = row_id(source, [*contents(prompt), *answers], upstream=row.get(key))
        if len(answers) == 1:
            return conversation(name, source, [*prompt, assistant(answers[0])])
        return preference(name, source, prompt, *answers)

    return convert


def turn_list(field: str, role: str, content: str) -> Callable[[RawRow, str], Conversation]:
    """Return the rule for a list of turns, as they stand up to the last answer, with `system` and `id` beside it."""

    def convert(row: RawRow, source: str) -> Conversation:
        messages = [*system(text(row, "system")), *turns(row, field, role, content)]
        return conversation(row_id(source, contents(messages), upstream=row.get("id")), source, messages)

    return convert
