"""Decontamination: rows that share a long enough piece of text with an evaluation set.

A piece is 13 words in a row, as in GPT-3's and most later reports; Korean, whose words are long and whose spacing
varies, is also compared by 30 letters in a row. Spaces and punctuation make no difference. A text of an evaluation
set that is shorter than a piece cannot be found.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset_builders.gates.letters import Hashes, Indices, Letters, fold, is_hangul
from rabbit_ko.storage import read_arrow, read_json, write_arrow, write_json

_FILTER_BITS = 22


@dataclass(frozen=True)
class Index:
    """The hashes of all pieces of the evaluation sets, sorted, and the set that each is of.

    hashes: m numbers. owners: m places in `names`.
    """

    words: int
    letters: int
    names: tuple[str, ...]
    hashes: Hashes
    owners: Indices

    @staticmethod
    def empty(words: int = 13, letters: int = 30) -> "Index":
        """Return an index of no set."""
        return Index(words, letters, (), np.zeros(0, np.uint64), np.zeros(0, np.int64))

    def with_set(self, name: str, texts: pa.StringArray) -> "Index":
        """Return the index with another set's texts in it; of two sets with the same piece, the first has it."""
        text = fold(texts)
        spans = [_word_runs(text, self.words), _hangul_runs(text, self.letters)]
        new = np.concatenate([text.pieces(starts, ends) for starts, ends, _ in spans])
        hashes = np.concatenate([self.hashes, new])
        owners = np.concatenate([self.owners, np.full(len(new), len(self.names))])
        unique, first = np.unique(hashes, return_index=True)
        return Index(self.words, self.letters, (*self.names, name), unique, owners[first])

    @cached_property
    def first_bits(self) -> npt.NDArray[np.bool_]:
        """A table that says of a hash's first bits whether any piece has them: most pieces need no closer look."""
        table = np.zeros(1 << _FILTER_BITS, np.bool_)
        table[self.hashes >> np.uint64(64 - _FILTER_BITS)] = True
        return table


def contamination(text: Letters, index: Index) -> dict[int, str]:
    """Mind texts that share a piece with a set; return row -> the set's name and the letters that are shared."""
    found: dict[int, str] = {}
    for starts, ends, owners in (_word_runs(text, index.words), _letter_runs(text, index.letters)):
        hashes = text.pieces(starts, ends)
        for place in np.flatnonzero(index.first_bits[hashes >> np.uint64(64 - _FILTER_BITS)]).tolist():
            at = int(np.searchsorted(index.hashes, hashes[place]))
            if at < len(index.hashes) and index.hashes[at] == hashes[place]:
                shared = "".join(map(chr, text.codes[starts[place] : ends[place]].tolist()))
                found.setdefault(int(owners[place]), f"{index.names[index.owners[at]]}: {shared}")
    return found


def _word_runs(text: Letters, size: int) -> tuple[Indices, Indices, Indices]:
    """Return start, end and text of every `size` words in a row."""
    words = np.flatnonzero(text.starts)
    owners = np.searchsorted(text.offsets, words, side="right") - 1
    count = max(len(words) - size + 1, 0)
    ends = np.append(words, len(text.codes))[size : size + count]
    inside = owners[:count] == owners[size - 1 : size - 1 + count]
    return words[:count][inside], ends[inside], owners[:count][inside]


def _letter_runs(text: Letters, size: int) -> tuple[Indices, Indices, Indices]:
    starts, owners = text.runs(size)
    return starts, starts + size, owners


def _hangul_runs(text: Letters, size: int) -> tuple[Indices, Indices, Indices]:
    """Return the runs of letters that are Hangul for the most part: 30 letters of English are a few words only."""
    starts, ends, owners = _letter_runs(text, size)
    total = np.concatenate(([0], np.cumsum(is_hangul(text.codes))))
    korean = 2 * (total[ends] - total[starts]) > size
    return starts[korean], ends[korean], owners[korean]


def save_index(index: Index, path: str) -> None:
    """Write an index to a file, and its names beside it, last."""
    write_arrow(f"{path}.arrow", pa.table({"hashes": index.hashes, "owners": index.owners}))
    write_json(f"{path}.json", {"words": index.words, "letters": index.letters, "names": index.names})


@cache
def load_index(path: str) -> Index:
    """Read an index from a file, once a process."""
    head = read_json(f"{path}.json")
    table = read_arrow(f"{path}.arrow")
    return Index(
        head["words"], head["letters"], tuple(head["names"]), table["hashes"].to_numpy(), table["owners"].to_numpy()
    )
