"""Your own conversations in the chat form: a list of turns with `role` (user, assistant, system) and `content`."""

from dataset_builders.sources._meaning import TOOLS
from dataset_builders.sources._source import Source, turn_list
from dataset_builders.sources._turns import CHAT

SOURCE = Source(
    rows="sft",
    required=("messages",),
    optional=("system", *TOOLS, "id"),
    convert=turn_list("messages", CHAT),
    numbers_are_labels=True,
)
