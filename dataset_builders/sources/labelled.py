"""Your own answers with a label, true for a good one: `prompt` and `completion`, or `messages` up to the answer."""

from dataset_builders.rows import Labelled, labelled, row_id, said_by
from dataset_builders.sources._meaning import label
from dataset_builders.sources._prompts import PROMPT_FIELDS, answer, find_prompt
from dataset_builders.sources._source import RawRow, Source
from dataset_builders.sources._text import is_empty
from dataset_builders.sources._tools import tools
from rabbit_ko.errors import Rejected


def convert(row: RawRow, source: str) -> Labelled:
    """The turns before the answer are the prompt, and agree with `prompt` where there is one."""
    good = label(row, "label")
    fields = [field for field in ("completion", "messages") if not is_empty(row.get(field))]
    if len(fields) != 1:
        is_blank = "completion" in row or "messages" in row
        missing = "empty completion" if is_blank else "no field `completion`"
        raise Rejected("both `completion` and `messages`" if fields else missing)
    before, completion = answer(row, fields[0])
    prompt = find_prompt(row, {fields[0]: before})
    offered = tools(row)
    key = row_id(source, [said_by([*prompt, completion], offered), str(good)], upstream=row.get("id"))
    return labelled(key, source, prompt, completion, good, offered)


SOURCE = Source(
    rows="kto",
    required=("label",),
    optional=("completion", "messages", *PROMPT_FIELDS, "id"),
    convert=convert,
)
