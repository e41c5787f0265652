"""Your own prompts, without answers: a question, or turns up to one, for a stage to answer; see pairs.yaml."""

from dataset_builders.rows import Labelled, as_prompt, row_id, said_by
from dataset_builders.sources._prompts import PROMPT_FIELDS, find_prompt
from dataset_builders.sources._source import RawRow, Source
from dataset_builders.sources._tools import tools
from dataset_builders.sources._turns import turns


def convert(row: RawRow, source: str) -> Labelled:
    """The row is one of answers that are judged, whose answer is not there yet."""
    prompt, notes = as_prompt(find_prompt(row, {"messages": turns(row, "messages")}))
    offered = tools(row)
    key = row_id(source, [said_by(prompt, offered)], upstream=row.get("id"))
    return Labelled(key, source, prompt, [], True, offered, notes)


SOURCE = Source(
    rows="kto",
    required=(),
    optional=("messages", *PROMPT_FIELDS, "id"),
    convert=convert,
    numbers_are_labels=True,
    has_answers=False,
)
