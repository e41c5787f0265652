"""databricks/databricks-dolly-15k: English tasks and answers by Databricks' employees; CC BY-SA 3.0."""

from dataset_builders.licenses import hub_dataset
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("instruction", "context", "response"),
    convert=exchange("instruction", ("response",), context="context"),
    license=hub_dataset("CC-BY-SA-3.0", "databricks/databricks-dolly-15k"),
    upstream_rows=15_011,
)
