"""kuotient/orca-math-korean-dpo-pairs: word problems, a right and a worse solution; CC BY-SA 4.0."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="dpo",
    required=("system", "question", "chosen", "rejected"),
    convert=exchange("question", ("chosen", "rejected"), system_field="system"),
    license=known("CC-BY-SA-4.0", "https://huggingface.co/datasets/kuotient/orca-math-korean-dpo-pairs"),
    upstream_rows=192_848,
)
