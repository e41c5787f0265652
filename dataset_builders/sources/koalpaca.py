"""beomi/KoAlpaca-v1.1a: questions from a Korean Q&A site with rewritten answers; no license stated."""

from dataset_builders.licenses import License
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("instruction", "output"),
    convert=exchange("instruction", ("output",)),
    license=License(stated="https://huggingface.co/datasets/beomi/KoAlpaca-v1.1a"),
    upstream_rows=21_155,
)
