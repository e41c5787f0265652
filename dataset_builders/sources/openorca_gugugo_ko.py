"""squarelike/OpenOrca-gugugo-ko: OpenOrca, translated by the model Gugugo-koen-7B-V1.1; MIT."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("system_prompt", "question", "response"),
    optional=("id",),
    convert=exchange("question", ("response",), system_field="system_prompt", key="id"),
    license=known("MIT", "https://huggingface.co/datasets/squarelike/OpenOrca-gugugo-ko"),
    upstream_rows=2_240_000,  # as its page says, roughly
    translated=True,
)
