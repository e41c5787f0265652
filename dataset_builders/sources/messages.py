"""Your own conversations in the chat form: a list of turns with `role` (user, assistant, system) and `content`."""

from dataset_builders.sources._source import Source, turn_list

SOURCE = Source(
    rows="sft", required=("messages",), optional=("system", "id"), convert=turn_list("messages", "role", "content")
)
