"""heegyu/hh-rlhf-ko: machine-translated helpful and harmless dialogues with two last answers; MIT."""

from dataset_builders.licenses import known
from dataset_builders.rows import Preference, preference, row_id, said_by, without_weights
from dataset_builders.sources._source import RawRow, Source, turn, turns
from dataset_builders.sources._turns import SHAREGPT


def convert(row: RawRow, source: str) -> Preference:
    """The prompt is the turns of `context` and the human turn `instruction`."""
    prompt = [*turns(row, "context", SHAREGPT), turn(row["instruction"], "instruction", SHAREGPT)]
    answers = [turn(row[side], side, SHAREGPT) for side in ("chosen", "rejected")]
    chosen, rejected = without_weights([{**answer, "role": "assistant"} for answer in answers])
    return preference(row_id(source, [said_by([*prompt, chosen, rejected])]), source, prompt, chosen, rejected)


SOURCE = Source(
    rows="dpo",
    required=("context", "instruction", "chosen", "rejected"),
    convert=convert,
    license=known("MIT", "https://huggingface.co/datasets/heegyu/hh-rlhf-ko"),
    translated=True,
)
