"""nlpai-lab/databricks-dolly-15k-ko: Dolly's tasks and answers, translated by DeepL; CC BY-SA 3.0."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("instruction", "context", "response"),
    convert=exchange("instruction", ("response",), context="context"),
    license=known("CC-BY-SA-3.0", "https://huggingface.co/datasets/nlpai-lab/databricks-dolly-15k-ko"),
    upstream_rows=15_011,
    translated=True,
)
