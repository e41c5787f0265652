"""How many rows a stage trains on and how long they are, and what that is known from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_builders.manifest import MANIFEST
from dataset_builders.recipe import DataConfig, load_config
from dataset_builders.sources import SOURCES
from dataset_builders.verify import read_manifest
from rabbit_ko.errors import UserError
from rabbit_ko.planning.stage import Stage

# As the data sets' own pages count them; guanaco-ko is given as about 10,000, which makes the model card's 53,000.
UPSTREAM = {
    "beomi/KoAlpaca-v1.1a": 21_155,
    "kyujinpy/OpenOrca-KO": 21_632,
    "nlpai-lab/openassistant-guanaco-ko": 10_000,
    "databricks/databricks-dolly-15k": 15_011,
    "kuotient/orca-math-korean-dpo-pairs": 192_848,
    "maywell/ko_Ultrafeedback_binarized": 61_966,
}
# What a row is taken for where it cannot be measured: prompt and answer, in tokens.
ROW_TOKENS = 400
SAMPLE = 2_000
# First-fit of short rows fills sequences nearly; the share is measured where the rows are.
PACKED_SHARE = 0.98


@dataclass(frozen=True)
class Rows:
    """A stage's training rows. `tokens` is the mean length of a sequence; a preference pair has two.

    `context` is the length of the row that an average token stands in, `filled` the share of positions that hold a
    token in the batches that are trained, None where only padding would tell and no row can be measured.
    """

    count: int
    count_from: str
    tokens: float
    tokens_from: str
    context: float
    filled: float | None


def count_rows(stage: Stage, given: int | None = None) -> tuple[int, str]:
    """Return how many rows are trained on in an epoch, and how that is known.

    Raises UserError where the data is not built and a source's size is not known.
    """
    if given is not None:
        return given, "as you say"
    folder = stage.data
    if (folder / MANIFEST).exists():
        shards = read_manifest(str(folder)).in_folder(stage.kind)
        count = sum(shard.rows for shard in shards if Path(shard.file).name.startswith("train-"))
        return count, f"{folder}/{MANIFEST}"
    config = stage.path.parent / "data.yaml"
    if not config.exists():
        raise UserError(f"{folder}: no data there, and no {config} to estimate it from; say --rows")
    return _estimate(
        stage, load_config(config)
    ), f"{config} and the sizes of its sources, before gates and duplicates"


def measure_lengths(stage: Stage, tokenizer: Any) -> list[int]:
    """Return the lengths of the stage's sequences in a sample of its training rows, spread evenly over the shards."""
    import pyarrow.dataset as ds

    from prompt_strategies.template import template_for
    from prompt_strategies.tokens import Example, tokenize

    shards = ds.dataset(sorted(map(str, (stage.data / stage.kind).glob("train-*.parquet"))))
    rows, size = shards.count_rows(), min(shards.count_rows(), SAMPLE)
    table = shards.take([index * rows // size for index in range(size)])
    template = template_for(stage.prompt)
    prompts, answers = _messages(stage, table.to_pylist())
    examples = tokenize(tokenizer, template, prompts, answers, stage.sequence_len)
    kept = [example for example in examples if isinstance(example, Example)]
    return [len(example.prompt) + len(answer) for example in kept for answer in example.answers]


def rows_of(stage: Stage, lengths: Sequence[int], count: tuple[int, str], given: float | None = None) -> Rows:
    """Put together what is known: the number of rows, and their lengths as measured, as given, or as assumed."""
    if lengths and given is None:
        mean = sum(lengths) / len(lengths)
        context = sum(length * length for length in lengths) / sum(lengths)
        share = packed_share(lengths, stage.sequence_len) if stage.packed else padded_share(lengths, stage.sequences)
        return Rows(*count, mean, f"{len(lengths):,} sequences of {stage.data}, tokenized", context, share)
    mean = given or float(ROW_TOKENS)
    source = "as you say" if given else "assumed: the data is not built, or the tokenizer not at hand"
    return Rows(*count, mean, source, mean, PACKED_SHARE if stage.packed else None)


def packed_share(lengths: Sequence[int], capacity: int) -> float:
    """Return the share of positions that first-fit packing fills, in the order of the rows."""
    free: list[int] = []
    for length in lengths:
        place = next((index for index, left in enumerate(free) if left >= length), None)
        if place is None:
            free.append(capacity - length)
        else:
            free[place] -= length
    return sum(lengths) / (capacity * len(free))


def padded_share(lengths: Sequence[int], size: int) -> float:
    """Return the share of positions that hold a token where each batch is padded to its longest row."""
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return sum(lengths) / sum(max(batch) * len(batch) for batch in batches)


def _estimate(stage: Stage, config: DataConfig) -> int:
    total = 0.0
    for source in config.sources:
        if SOURCES[source.source].rows != stage.kind:
            continue
        rows = UPSTREAM.get(source.path, source.max_samples)
        if rows is None:
            raise UserError(f"{source.path}: its size is not known here; build the data, or say --rows")
        total += min(rows * source.fraction, source.max_samples or rows)
    return round(total * (1 - config.test_size))


def _messages(stage: Stage, rows: list[dict[str, Any]]) -> tuple[list[Any], list[tuple[str, ...]]]:
    answers: list[tuple[str, ...]]
    if stage.kind == "dpo":
        answers = [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]
        return [row["prompt"] for row in rows], answers
    answers = [(row["messages"][-1]["content"],) for row in rows]
    return [row["messages"][:-1] for row in rows], answers
