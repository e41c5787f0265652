"""The benchmarks that must not be trained on, and an index of their n-grams.

An n-gram is 13 words in a row, as in GPT-3's and most later reports; Korean, whose words are long and whose spacing
varies, is also compared by 30 letters in a row. A text that is shorter than an n-gram cannot be found.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from dataset_builders.gates.letters import Hashes, Indices, Letters, fold, is_hangul
from dataset_builders.read.formats import Broken, read_rows
from dataset_builders.read.inputs import Chunk, Location
from rabbit_ko.errors import UserError
from rabbit_ko.normal_form import normalize
from rabbit_ko.storage import read_arrow, write_arrow

_FILTER_SHIFT = np.uint64(64 - 22)


class Benchmark(Location):
    """Where a benchmark is, and which of its columns count, or else all with text."""

    name: str = Field(min_length=1)
    split: str = "test"
    columns: tuple[str, ...] = Field(default=(), strict=False)


_KOBEST = "boolq", "copa", "hellaswag", "sentineg", "wic"
_HAERAE = "general_knowledge", "history", "loan_words", "rare_words", "standard_nomenclature"
KNOWN: dict[str, list[Benchmark]] = {
    "kobest": [Benchmark(name=f"kobest/{it}", path="skt/kobest_v1", subset=it) for it in _KOBEST],
    "haerae": [Benchmark(name=f"haerae/{it}", path="HAERAE-HUB/HAE_RAE_BENCH", subset=it) for it in _HAERAE],
    "gsm8k": [Benchmark(name="gsm8k", path="openai/gsm8k", subset="main")],
    "gsm8k_ko": [Benchmark(name="gsm8k_ko", path="kuotient/gsm8k-ko")],
    "logickor": [Benchmark(name="logickor", path="maywell/LogicKor", split="train")],
}


@dataclass(frozen=True)
class BenchmarkIndex:
    """The hashes of all n-grams of some benchmarks, m numbers in order, and m places in `names` as their owners."""

    names: list[str]
    hashes: Hashes
    owners: Indices

    def find(self, hashes: Hashes) -> Iterator[tuple[int, str]]:
        """Yield the places of those hashes that are in the index, each with its benchmark."""
        for place in np.flatnonzero(self._first_bits[hashes >> _FILTER_SHIFT]).tolist():
            at = int(np.searchsorted(self.hashes, hashes[place]))
            if at < len(self.hashes) and self.hashes[at] == hashes[place]:
                yield place, self.names[self.owners[at]]

    @cached_property
    def _first_bits(self) -> npt.NDArray[np.bool_]:
        """Whether any hash starts with these bits: most n-grams need no closer look."""
        table = np.zeros(1 << 22, np.bool_)
        table[self.hashes >> _FILTER_SHIFT] = True
        return table

    def save(self, path: str) -> None:
        """Write the index to a file."""
        owners = pa.DictionaryArray.from_arrays(self.owners, pa.array(self.names, pa.string()))
        write_arrow(path, pa.table({"hashes": self.hashes, "owners": owners}))


def index_texts(benchmarks: Mapping[str, list[str]], words: int, letters: int) -> BenchmarkIndex:
    """Return an index of benchmarks' texts; of two benchmarks with the same n-gram, the first has it."""
    hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for number, texts in enumerate(benchmarks.values()):
        text = fold(texts)
        for starts, ends, _ in (word_ngrams(text, words), letter_ngrams(text, letters)):
            hashes.append(text.hashes(starts, ends))
            owners.append(np.full(len(starts), number))
    unique, first = np.unique(np.concatenate(hashes), return_index=True)
    return BenchmarkIndex(list(benchmarks), unique, np.concatenate(owners)[first])


NO_BENCHMARKS = index_texts({}, 13, 30)


@cache
def load_index(path: str) -> BenchmarkIndex:
    """Read an index from a file, once a process; without a path, it is empty."""
    if not path:
        return NO_BENCHMARKS
    table = read_arrow(path, ["hashes", "owners"])
    owners = table["owners"].combine_chunks()
    return BenchmarkIndex(owners.dictionary.to_pylist(), table["hashes"].to_numpy(), owners.indices.to_numpy())


def read_texts(benchmark: Benchmark, chunks: list[Chunk]) -> list[str]:
    """Return the texts of a benchmark's columns. Raises UserError where one is missing, or none has text."""
    texts: list[str] = []
    seen = set[str]()
    wanted = benchmark.columns or None
    for row in (row for chunk in chunks for row in read_rows(chunk, wanted) if not isinstance(row, Broken)):
        seen.update(row)
        texts += _texts([row[name] for name in benchmark.columns or row if name in row])
    missing = set(benchmark.columns) - seen
    if missing or not texts:
        lacks = f"column `{min(missing)}`" if missing else "text in its columns"
        raise UserError(f"{benchmark.path}: the benchmark `{benchmark.name}` has no {lacks}")
    return texts


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        # As rows are cleaned; half a surrogate pair matches nothing.
        yield normalize("NFC", value).encode(errors="replace").decode()
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def word_ngrams(text: Letters, size: int) -> tuple[Indices, Indices, Indices]:
    """Return start, end and text of every `size` words in a row."""
    words = np.flatnonzero(text.starts)
    owners = np.searchsorted(text.offsets, words, side="right") - 1
    count = max(len(words) - size + 1, 0)
    ends = np.append(words, len(text.codes))[size : size + count]
    inside = owners[:count] == owners[size - 1 : size - 1 + count]
    return words[:count][inside], ends[inside], owners[:count][inside]


def letter_ngrams(text: Letters, size: int) -> tuple[Indices, Indices, Indices]:
    """Return start, end and text of every `size` letters in a row that are mostly Hangul; else they are few words."""
    starts, owners = text.runs(size)
    total = np.concatenate(([0], np.cumsum(is_hangul(text.codes))))
    korean = 2 * (total[starts + size] - total[starts]) > size
    return starts[korean], starts[korean] + size, owners[korean]
