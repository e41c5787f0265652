"""maywell/koVast: conversations of several turns; MIT."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, turn_list

SOURCE = Source(
    rows="sft",
    required=("conversations",),
    convert=turn_list("conversations", "from", "value"),
    license=known("MIT", "https://huggingface.co/datasets/maywell/koVast"),
    upstream_rows=684_579,
)
