"""maywell/koVast: conversations of several turns, in ShareGPT's form; MIT."""

from dataset_builders.licenses import known
from dataset_builders.sources import sharegpt
from dataset_builders.sources._source import Source

SOURCE = Source(
    rows="sft",
    required=("conversations",),
    convert=sharegpt.SOURCE.convert,
    license=known("MIT", "https://huggingface.co/datasets/maywell/koVast"),
    upstream_rows=684_579,
)
