"""CarrotAI/ko-instruction-dataset: instructions and answers made by WizardLM-2-8x22B; Apache-2.0."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("instruction", "output"),
    convert=exchange("instruction", ("output",)),
    license=known("Apache-2.0", "https://huggingface.co/datasets/CarrotAI/ko-instruction-dataset"),
    upstream_rows=7_040,  # as its page says, roughly
)
