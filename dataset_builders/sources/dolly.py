"""databricks/databricks-dolly-15k: English tasks and answers by Databricks' employees; CC BY-SA 3.0."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("instruction", "context", "response"),
    convert=exchange("instruction", ("response",), context="context"),
    license=known("CC-BY-SA-3.0", "https://huggingface.co/datasets/databricks/databricks-dolly-15k"),
    upstream_rows=15_011,
)
