"""beomi/KoAlpaca-RealQA: questions that users of ChatKoAlpaca asked, answered by GPT-4o; CC BY-SA 4.0; gated."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("custom_id", "question", "answer"),
    convert=exchange("question", ("answer",), key="custom_id"),
    license=known("CC-BY-SA-4.0", "https://huggingface.co/datasets/beomi/KoAlpaca-RealQA"),
    upstream_rows=18_524,
)
