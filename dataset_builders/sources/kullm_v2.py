"""nlpai-lab/kullm-v2: GPT4ALL, Dolly and Vicuna tasks, translated by DeepL; Apache-2.0."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    # Not `id`: the page shows `alpaca_{idx}` for one, which tells no row from another.
    required=("instruction", "input", "output"),
    convert=exchange("instruction", ("output",), context="input"),
    license=known("Apache-2.0", "https://huggingface.co/datasets/nlpai-lab/kullm-v2"),
    upstream_rows=152_630,
    translated=True,
)
