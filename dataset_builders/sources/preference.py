"""Your own preference pairs: a chosen and a rejected answer, alone or after their turns, and a prompt beside them."""

from dataset_builders.rows import Preference, preference, row_id, said_by
from dataset_builders.sources._prompts import PROMPT_FIELDS, answer, find_prompt
from dataset_builders.sources._source import RawRow, Source
from dataset_builders.sources._tools import tools


def convert(row: RawRow, source: str) -> Preference:
    """The turns before the two answers are the prompt; they agree with each other, and with `prompt`."""
    (before_chosen, chosen), (before_rejected, rejected) = answer(row, "chosen"), answer(row, "rejected")
    prompt = find_prompt(row, {"chosen": before_chosen, "rejected": before_rejected})
    offered = tools(row)
    key = row_id(source, [said_by([*prompt, chosen, rejected], offered)], upstream=row.get("id"))
    return preference(key, source, prompt, chosen, rejected, offered)


SOURCE = Source(
    rows="dpo",
    required=("chosen", "rejected"),
    optional=(*PROMPT_FIELDS, "id"),
    convert=convert,
    numbers_are_labels=True,
)
