"""Pairs of answers that a model of one's own gave, as `make pairs` leaves them: the best and the worst by a judge."""

from dataset_builders.sources._source import Source
from dataset_builders.sources.preference import convert

PAIRS_FILE = "pairs.parquet"
# How a pair came to be; a shard has the pair's id, by which the file says all of this.
PROVENANCE = (
    "source",
    "prompt_id",
    "stage",
    "model",
    "sampling",
    "judge",
    "judge_fingerprint",
    "chosen_score",
    "rejected_score",
    "verdicts",
)

SOURCE = Source(
    rows="dpo",
    required=("id", "prompt", "chosen", "rejected"),
    optional=("tools",),
    convert=convert,
    file=PAIRS_FILE,
    beside=PROVENANCE,
    any_language=True,  # each of the prompt's, and a judge has read the answers
)
