"""Your own preference pairs: a prompt with a chosen and a rejected answer, each a text or a list of chat messages."""

from dataset_builders.rows import Preference, contents, preference, row_id, system, user
from dataset_builders.sources._source import RawRow, Source, text, turns
from rabbit_ko.errors import Rejected


def convert(row: RawRow, source: str) -> Preference:
    """A prompt may hold earlier turns; an answer given as messages may repeat the prompt in front."""
    is_list = isinstance(row["prompt"], list)
    asked = turns(row, "prompt", "role", "content") if is_list else [user(text(row, "prompt"))]
    prompt = [*system(text(row, "system")), *asked]
    chosen, rejected = _answer(row, "chosen"), _answer(row, "rejected")
    key = row_id(source, [*contents(prompt), chosen, rejected], upstream=row.get("id"))
    return preference(key, source, prompt, chosen, rejected)


def _answer(row: RawRow, field: str) -> str:
    if not isinstance(row[field], list):
        return text(row, field)
    messages = turns(row, field, "role", "content")
    if not messages or messages[-1]["role"] != "assistant":
        raise Rejected(f"{field} does not end with an answer")
    return messages[-1]["content"]


SOURCE = Source(rows="dpo", required=("prompt", "chosen", "rejected"), optional=("system", "id"), convert=convert)
