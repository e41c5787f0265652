"""nlpai-lab/openassistant-guanaco-ko: translated conversations, each in one string; Apache-2.0."""

import re

from dataset_builders.licenses import known
from dataset_builders.rows import Conversation, Message, contents, conversation, row_id
from dataset_builders.sources._source import RawRow, Source, text
from dataset_builders.sources._text import visible
from dataset_builders.sources._turns import ROLES
from rabbit_ko.errors import Rejected

# Upstream writes a delimiter straight after the text before it, so it need not begin a line.
_DELIMITER = re.compile(r"### (Human|Assistant):")


def convert(row: RawRow, source: str) -> Conversation:
    """Split at the delimiters; any other `### word:` belongs to the text, and a last human turn is dropped."""
    preamble, *rest = _DELIMITER.split(text(row, "text"))
    if preamble.strip() or not rest:
        raise Rejected("no delimiter at the start")
    speakers = [ROLES[speaker.lower()] for speaker in rest[::2]]
    messages = [
        Message(role=role, content=visible(said).strip()) for role, said in zip(speakers, rest[1::2], strict=True)
    ]
    return conversation(row_id(source, contents(messages), upstream=row["id"]), source, messages)


SOURCE = Source(
    rows="sft",
    required=("text", "id"),
    convert=convert,
    license=known("Apache-2.0", "https://huggingface.co/datasets/nlpai-lab/openassistant-guanaco-ko"),
    upstream_rows=10_000,  # as its page says, roughly
    translated=True,
)
