"""The split among all rows of a kind: which are duplicates, over max_samples, for testing, for training.

It looks at the keys that the chunks have left, some 60 bytes a row, and never at the rows themselves. Nothing in it
depends on the order of files or chunks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_builders.near_duplicates import near_duplicates
from dataset_builders.pipeline import OVER_MAX, DoneChunk
from dataset_builders.recipe import DataConfig
from dataset_builders.sampling import below
from rabbit_ko.storage import read_arrow

SPLITS = TRAIN, TEST = ("train", "test")
STATUSES = (*SPLITS, "duplicate id", "exact duplicate", "near duplicate", OVER_MAX)
# Two hashes of 64 bits each that only equal ids, or equal contents, have in common; draws depend on the id alone.
SAME_ID = ("order", "sample")
SAME_CONTENT = ("content_high", "content_low")

Indices = npt.NDArray[np.int64]
Duplicate = tuple[int, int, float]


class Split:
    """What becomes of the n rows of all chunks, one chunk after the other.

    order: n keys. statuses: n places in STATUSES. duplicate_of: row -> (the row that is kept, their similarity).
    reported: (source, status) -> rows. starts: the first row of each chunk, and n.
    """

    def __init__(self, chunks: Iterable[DoneChunk]) -> None:
        self.chunks = [chunk for chunk in chunks if chunk.rows]
        rows = [chunk.rows for chunk in self.chunks]
        self.starts: list[int] = np.cumsum([0, *rows]).tolist()
        self.sources = np.repeat(np.array([chunk.source for chunk in self.chunks], np.int32), rows)
        self.statuses = np.zeros(len(self.sources), np.uint8)
        self.order = self.column("order")
        self.duplicate_of: dict[int, tuple[int, float]] = {}
        self.reported = Counter[tuple[int, str]]()

    def kept(self, source: int | None = None) -> Indices:
        """Return the rows that no step has dropped so far, of all sources or of one."""
        is_kept = self.statuses == STATUSES.index(TRAIN)
        return np.flatnonzero(is_kept if source is None else is_kept & (self.sources == source))

    def drop(self, rows: Indices | int, status: str) -> None:
        """Give the rows a status."""
        self.statuses[rows] = STATUSES.index(status)

    def column(self, name: str, file: str = "keys") -> npt.NDArray[np.uint64]:
        """Read one of the columns that the chunks have left, for all rows."""
        # Copied: a view would keep the whole file of its chunk in memory.
        columns = [read_arrow(f"{done.folder}/{file}.arrow", [name])[name].to_numpy().copy() for done in self.chunks]
        return np.concatenate(columns) if columns else np.zeros(0, np.uint64)

    def take(self, rows: Indices, name: str, file: str) -> list[Any]:
        """Read a column for some rows, in ascending order, from those chunks that hold them."""
        found: list[Any] = []
        for chunk, (start, end) in zip(self.chunks, pairwise(self.starts), strict=True):
            wanted = rows[(rows >= start) & (rows < end)] - start
            if len(wanted):
                column = read_arrow(f"{chunk.folder}/{file}.arrow", [name])[name].combine_chunks()
                found.append(column.take(wanted))
        return found

    def ranked(self, source: int | None = None) -> Indices:
        """Return the kept rows, of all sources or of one; of two that are equal, the one that comes first stays.

        The first source in the config comes first, and then what does not depend on the order of rows decides.
        """
        kept = self.kept(source)
        return np.asarray(kept[np.lexsort((self.column("tie")[kept], self.order[kept], self.sources[kept]))])


def split_rows(chunks: Sequence[DoneChunk], config: DataConfig) -> Split:
    """Decide what becomes of the rows of one kind."""
    split = Split(chunks)
    _drop_duplicates(split, "duplicate id", _equal(split, split.ranked(), SAME_ID))
    for number, entry in enumerate(config.sources):
        if entry.max_samples is not None:
            # Within the source first: what is over its max_samples must not push out another source's duplicate.
            _ask_gates(split, config, number)
            kept = split.kept(number)
            ranked = kept[np.lexsort((split.order[kept], split.column("sample")[kept]))]
            split.drop(ranked[entry.max_samples :], OVER_MAX)
    _ask_gates(split, config)
    _draw_test_rows(split, config.test_size)
    return split


def _ask_gates(split: Split, config: DataConfig, source: int | None = None) -> None:
    """Drop the duplicates among all rows, or among one source's; only among all are they reported."""
    quality = config.quality
    actions = ("reject", "report") if source is None else ("reject",)
    if (action := quality.action_of(quality.exact_duplicates)) in actions:
        found = _equal(split, split.ranked(source), SAME_CONTENT)
        _drop_duplicates(split, "exact duplicate", found, action)
    if (action := quality.action_of(quality.near_duplicates)) in actions:
        threshold = quality.near_duplicates.threshold
        found = near_duplicates(split.ranked(source), split.column, split.take, threshold)
        _drop_duplicates(split, "near duplicate", found, action)


def _equal(split: Split, ranked: Indices, hashed: tuple[str, str]) -> Iterator[Duplicate]:
    """Yield (row, the row that stays, 1.0) for rows that have both of these hashes in common."""
    high, low = (split.column(name)[ranked] for name in hashed)
    order = np.lexsort((low, high))
    is_same = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
    first = 0
    for place in np.flatnonzero(is_same).tolist():
        if not (place and is_same[place - 1]):
            first = place
        yield int(ranked[order[place + 1]]), int(ranked[order[first]]), 1.0


def _drop_duplicates(split: Split, status: str, duplicates: Iterable[Duplicate], action: str = "reject") -> None:
    for row, kept, similarity in duplicates:
        if action == "report":
            split.reported[int(split.sources[row]), status] += 1
        else:
            split.drop(row, status)
            split.duplicate_of[row] = kept, similarity


def _draw_test_rows(split: Split, test_size: float) -> None:
    """Draw the rows for testing by id; neither train nor test is left empty where both are wanted."""
    kept = split.kept()
    if not test_size or len(kept) < 2:
        return
    draws = split.column("test")[kept]
    ranked = np.lexsort((split.order[kept], draws))
    is_test = below(draws, test_size)
    is_test[ranked[0]], is_test[ranked[-1]] = True, False
    split.drop(kept[is_test], TEST)
