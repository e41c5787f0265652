"""nlpai-lab/openassistant-guanaco-ko: translated conversations, each in one string; Apache-2.0."""

import re

from dataset_builders.licenses import known
from dataset_builders.rows import Conversation, Message, contents, conversation, row_id
from dataset_builders.sources._source import ROLES, RawRow, Source, text
from rabbit_ko.errors import Rejected

# Upstream writes a delimiter straight behind the text before it, so it need not begin a line.
_DELIMITER = re.compile(r"### (Human|Assistant):")


def convert(row: RawRow, source: str) -> Conversation:
    """Split at the delimiters; any other `### word:` belongs to the text, and a last human turn is dropped."""
    messages = split_turns(text(row, "text"))
    return conversation(row_id(source, contents(messages), upstream=row["id"]), source, messages)


def split_turns(transcript: str) -> list[Message]:
    """Split `### Human: ...### Assistant: ...` into turns, each stripped.

    Raises Rejected where words stand before the first delimiter, or there is none.
    """
    preamble, *rest = _DELIMITER.split(transcript)
    if preamble.strip() or not rest:
        raise Rejected("no delimiter at the start")
    return [
        Message(role=ROLES[speaker.lower()], content=content.strip())
        for speaker, content in zip(rest[::2], rest[1::2], strict=True)
    ]


SOURCE = Source(
    rows="sft",
    required=("text", "id"),
    convert=convert,
    license=known("Apache-2.0", "https://huggingface.co/datasets/nlpai-lab/openassistant-guanaco-ko"),
    upstream_rows=10_000,  # as its page says, roughly
    translated=True,
)
