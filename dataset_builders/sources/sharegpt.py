"""Your own conversations in ShareGPT's form: a list of turns with `from` (human, gpt, system) and `value`."""

from dataset_builders.rows import Conversation, contents, conversation, row_id, system
from dataset_builders.sources.fields import RawRow, text, turns

REQUIRED = ("conversations",)
OPTIONAL = ("system", "id")


def convert(row: RawRow, source: str) -> Conversation:
    """Turns as they stand, up to the last answer."""
    messages = [*system(text(row, "system")), *turns(row, "conversations", "from", "value")]
    return conversation(row_id(source, contents(messages), upstream=row.get("id")), source, messages)
