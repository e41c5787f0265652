"""Rows to train on: some of a recipe's own, or generated ones with a known distribution of lengths in tokens.

Lengths of generated rows are lognormal around the mean that `make plan` takes where it cannot measure rows, with the
spread of the answers in `rows.py`; a sixth of a row is the question, as there. The same seed gives the
same rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rabbit_ko.benchmarks.words import make_vocabulary
from rabbit_ko.planning.stage import Kind

SEED, SPREAD, ASKED = 20_240_601, 0.6, 1 / 6
SHORTEST = 12
SHARD = "train-00000-of-00001.parquet"
Message = dict[str, str]


def write_rows(folder: Path, kind: Kind, tokenizer: Any, count: int, mean: float, longest: int) -> None:
    """Write `count` rows of `mean` tokens, none above `longest`, as the one train shard of `folder/kind`."""
    rng = np.random.default_rng([SEED, 3])
    lengths = draw_row_lengths(rng, count, mean, longest)
    asked = np.maximum((lengths * ASKED).astype(np.int64), 1)
    texts = [write_tokens(tokenizer, rng, part) for part in (asked, lengths - asked)]
    # The other answer of a pair is as long as an answer of another row, behind the same question.
    others = np.minimum(rng.permutation(lengths - asked), longest - asked)
    texts += [write_tokens(tokenizer, rng, others)] if kind == "dpo" else []
    rows = [_row(kind, number, *row) for number, row in enumerate(zip(*texts, strict=True))]
    _write(folder / kind, pa.Table.from_pylist(rows))


def take_rows(data: Path, folder: Path, kind: Kind, count: int) -> None:
    """Write `count` train rows of the shards in `data`, spread evenly over them, or all that there are."""
    shards = ds.dataset(sorted(map(str, (data / kind).glob("train-*.parquet"))))
    rows, size = shards.count_rows(), min(shards.count_rows(), count)
    _write(folder / kind, shards.take([index * rows // size for index in range(size)]))


def draw_row_lengths(rng: np.random.Generator, count: int, mean: float, longest: int) -> NDArray[np.int64]:
    """Draw lengths in tokens: lognormal, with this mean but for those that are cut at `longest`."""
    middle = mean * np.exp(-(SPREAD**2) / 2)
    drawn: NDArray[np.float64] = middle * np.exp(SPREAD * rng.standard_normal(count))
    return np.clip(drawn, SHORTEST, longest).astype(np.int64)


def write_tokens(tokenizer: Any, rng: np.random.Generator, lengths: NDArray[np.int64]) -> list[str]:
    """Return a text for each length in tokens, up to a word; few words are frequent, as in rows.py."""
    words = make_vocabulary(SEED).words
    sizes = np.array([len(ids) for ids in tokenizer([f" {word.strip()}" for word in words])["input_ids"]])
    # With a BOS in front of each word, which is not there within a text.
    sizes = np.maximum(sizes - len(tokenizer("")["input_ids"]), 1)
    drawn = (len(words) * rng.random(int(lengths.sum()) + len(lengths)) ** 3).astype(np.int64)
    ends = np.searchsorted(np.cumsum(sizes[drawn]), np.cumsum(lengths)) + 1
    starts = np.concatenate([[0], ends[:-1]])
    pairs = zip(starts, np.maximum(ends, starts + 1), strict=True)
    return ["".join(words[drawn[start:end]]).strip() for start, end in pairs]


def _write(folder: Path, table: pa.Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / SHARD)


def _row(kind: Kind, number: int, question: str, *answers: str) -> dict[str, Any]:
    said: list[list[Message]] = [[{"role": "assistant", "content": answer}] for answer in answers]
    prompt: list[Message] = [{"role": "user", "content": question}]
    row = {"id": f"benchmark/{number}", "source": "benchmark"}
    if kind == "dpo":
        return {**row, "prompt": prompt, "chosen": said[0], "rejected": said[1]}
    return {**row, "messages": prompt + said[0]}
