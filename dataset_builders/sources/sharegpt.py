"""Your own conversations in ShareGPT's form: a list of turns with `from` (human, gpt, system) and `value`."""

from dataset_builders.sources._meaning import TOOLS
from dataset_builders.sources._source import Source, turn_list
from dataset_builders.sources._turns import SHAREGPT

SOURCE = Source(
    rows="sft",
    required=("conversations",),
    optional=("system", *TOOLS, "id"),
    convert=turn_list("conversations", SHAREGPT),
    numbers_are_labels=True,
)
