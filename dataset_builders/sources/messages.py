"""Your own conversations in the chat form: a list of turns with `role` (user, assistant, system) and `content`."""

from dataset_builders.rows import Conversation, contents, conversation, row_id, system
from dataset_builders.sources.fields import RawRow, text, turns

REQUIRED = ("messages",)
OPTIONAL = ("system", "id")


def convert(row: RawRow, source: str) -> Conversation:
    """Turns as they stand, up to the last answer."""
    messages = [*system(text(row, "system")), *turns(row, "messages", "role", "content")]
    return conversation(row_id(source, contents(messages), upstream=row.get("id")), source, messages)
