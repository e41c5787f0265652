"""kyujinpy/OpenOrca-KO: translated flan, t0, cot, niv and KoCoT tasks; MIT."""

from dataset_builders.licenses import known
from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("id", "instruction", "input", "output"),
    convert=exchange("instruction", ("output",), system_field="input", key="id"),
    license=known("MIT", "https://huggingface.co/datasets/kyujinpy/OpenOrca-KO"),
    upstream_rows=21_632,
    translated=True,
)
