"""HAERAE-HUB/K2-Feedback: instructions with answers that got 1 to 5 points; no license stated."""

from dataset_builders.licenses import License
from dataset_builders.rows import Row
from dataset_builders.sources._source import RawRow, Source, exchange
from rabbit_ko.errors import Rejected

_exchange = exchange("instruction", ("response",))


def convert(row: RawRow, source: str) -> Row:
    """Only an answer with all 5 points is one to learn from."""
    if str(row["score"]).removesuffix(".0") != "5":
        raise Rejected("`score` is not 5")
    return _exchange(row, source)


SOURCE = Source(
    rows="sft",
    required=("instruction", "response", "score"),
    convert=convert,
    license=License(stated="https://huggingface.co/datasets/HAERAE-HUB/K2-Feedback"),
)
