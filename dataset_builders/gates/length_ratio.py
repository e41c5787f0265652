"""The length ratio gate: preferences of which one answer is many times as long as the other."""

from pydantic import Field

from dataset_builders.gates._gate import Batch, Gate, Settings
from dataset_builders.rows import all_messages, contents, spoken


class LengthRatio(Settings):
    """How many times as many characters the longer answer may have as the shorter one."""

    max: float = Field(default=30.0, ge=1)


def find_unlike_lengths(batch: Batch, settings: LengthRatio) -> dict[int, str]:
    """Return the preferences whose answers are too unlike in length."""
    found = {}
    for number, row in enumerate(batch.rows):
        chosen, rejected = (sum(map(len, contents(spoken([answer])))) for answer in all_messages(row)[-2:])
        if max(chosen, rejected) > settings.max * max(min(chosen, rejected), 1):
            found[number] = f"{chosen:,} and {rejected:,} characters"
    return found


GATE = Gate("length_ratio", "answers of unlike length", LengthRatio, find_unlike_lengths, ("dpo",))
