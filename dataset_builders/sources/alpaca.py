"""Your own instruction data: instruction, input and output, the input after the instruction where there is one."""

from dataset_builders.sources._source import Source, exchange

SOURCE = Source(
    rows="sft",
    required=("instruction", "output"),
    optional=("input", "system", "history", "id"),
    convert=exchange("instruction", ("output",), system_field="system", context="input", key="id"),
)
