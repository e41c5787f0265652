"""The length ratio gate: preferences of which one answer is many times as long as the other."""

from pydantic import Field

from dataset_builders.gates._gate import Batch, Gate, Settings


class LengthRatio(Settings):
    """How many times as many characters the longer answer may have as the shorter one."""

    max: float = Field(default=30.0, ge=1)


def find_unlike_lengths(batch: Batch, settings: LengthRatio) -> dict[int, str]:
    """Return the preferences whose answers are too unlike in length."""
    found = {}
    for row, (chosen, rejected) in enumerate(zip(*batch.pairs, strict=True)):
        shorter, longer = sorted((len(chosen), len(rejected)))
        if longer > settings.max * max(shorter, 1):
            found[row] = f"{len(chosen):,} and {len(rejected):,} characters"
    return found


GATE = Gate("length_ratio", "answers of unlike length", LengthRatio, find_unlike_lengths, ("dpo",))
