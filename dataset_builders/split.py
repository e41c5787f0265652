"""The split among all rows of a kind: which are duplicates, over max_samples, for testing, for training.

It looks at the keys that the chunks have left, some 60 bytes a row, and never at the rows themselves. Nothing in it
depends on the order of files or chunks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset_builders.gates import Quality
from dataset_builders.gates._gate import Settings
from dataset_builders.near_duplicates import near_duplicates
from dataset_builders.pipeline import OVER_MAX, DoneChunk
from dataset_builders.recipe import DataConfig
from dataset_builders.sampling import below
from rabbit_ko.storage import read_arrow

TRAIN, TEST = 0, 1
SPLITS = ("train", "test")
STATUSES = (*SPLITS, "duplicate id", "exact duplicate", "near duplicate", OVER_MAX)
DUPLICATE_ID, EXACT_DUPLICATE, NEAR_DUPLICATE, OVER = range(2, len(STATUSES))
# Two hashes of 64 bits each that only equal ids, or equal contents, have in common; draws depend on the id alone.
SAME_ID = ("order", "sample")
SAME_CONTENT = ("content_high", "content_low")

Indices = npt.NDArray[np.int64]
Duplicate = tuple[int, int, float]


@dataclass
class Split:
    """What becomes of the n rows of all chunks, one chunk after the other.

    order: n keys. statuses: n places in STATUSES. duplicate_of: row -> (the row that is kept, their similarity).
    reported: (source, place in STATUSES) -> rows.
    """

    chunks: list[DoneChunk]
    order: npt.NDArray[np.uint64] = field(init=False)
    statuses: npt.NDArray[np.uint8] = field(init=False)
    sources: npt.NDArray[np.int32] = field(init=False)
    duplicate_of: dict[int, tuple[int, float]] = field(default_factory=dict)
    reported: Counter[tuple[int, int]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        sources, rows = ([getattr(chunk, name) for chunk in self.chunks] for name in ("source", "rows"))
        self.sources = np.repeat(np.array(sources, np.int32), rows)
        self.statuses = np.zeros(len(self.sources), np.uint8)
        self.order = self.column("order")

    @property
    def starts(self) -> list[int]:
        """The first row of each chunk, and the number of all rows."""
        return [0, *np.cumsum([chunk.rows for chunk in self.chunks], dtype=np.int64).tolist()]

    @property
    def kept(self) -> Indices:
        """The rows that no step has dropped so far."""
        return np.flatnonzero(self.statuses == TRAIN)

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
        kept = self.kept if source is None else self.kept[self.sources[self.kept] == source]
        return np.asarray(kept[np.lexsort((self.column("tie")[kept], self.order[kept], self.sources[kept]))])


def split_rows(chunks: Sequence[DoneChunk], config: DataConfig) -> Split:
    """Decide what becomes of the rows of one kind."""
    split = Split([chunk for chunk in chunks if chunk.rows])
    _drop(split, DUPLICATE_ID, _equal(split, SAME_ID), "reject")
    for number, entry in enumerate(config.sources):
        if entry.max_samples is not None:
            # Within the source first: what is over its max_samples must not push out another source's duplicate.
            _drop_duplicates(split, config.quality, {"reject"}, number)
            _drop_over_max(split, number, entry.max_samples)
    _drop_duplicates(split, config.quality, {"reject", "report"})
    _draw_test_rows(split, config.test_size)
    return split


def _drop_duplicates(split: Split, quality: Quality, actions: set[str], source: int | None = None) -> None:
    """Drop the duplicates among all rows, or among one source's, of the kinds whose gates do one of these actions."""

    def action_in(gate: Settings) -> str:
        return quality.action_of(gate) if quality.action_of(gate) in actions else ""

    if action := action_in(quality.exact_duplicates):
        _drop(split, EXACT_DUPLICATE, _equal(split, SAME_CONTENT, source), action)
    if action := action_in(quality.near_duplicates):
        rows, threshold = split.ranked(source), quality.near_duplicates.threshold
        _drop(split, NEAR_DUPLICATE, near_duplicates(rows, split.column, split.take, threshold), action)


def _equal(split: Split, hashed: tuple[str, str], source: int | None = None) -> Iterator[Duplicate]:
    """Yield (row, the row that stays, 1.0) for rows that have both of these hashes in common."""
    ranked = split.ranked(source)
    high, low = (split.column(name)[ranked] for name in hashed)
    order = np.lexsort((low, high))
    is_same = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
    first = 0
    for place in np.flatnonzero(is_same).tolist():
        if not (place and is_same[place - 1]):
            first = place
        yield int(ranked[order[place + 1]]), int(ranked[order[first]]), 1.0


def _drop(split: Split, status: int, duplicates: Iterable[Duplicate], action: str) -> None:
    for row, kept, similarity in duplicates:
        if action == "report":
            split.reported[int(split.sources[row]), status] += 1
        else:
            split.statuses[row] = status
            split.duplicate_of[row] = kept, similarity


def _drop_over_max(split: Split, source: int, max_samples: int) -> None:
    rows = split.kept[split.sources[split.kept] == source]
    ranked = rows[np.lexsort((split.order[rows], split.column("sample")[rows]))]
    split.statuses[ranked[max_samples:]] = OVER


def _draw_test_rows(split: Split, test_size: float) -> None:
    """Draw the rows for testing by id; neither train nor test is left empty where both are wanted."""
    kept = split.kept
    if not test_size or len(kept) < 2:
        return
    draws = split.column("test")[kept]
    ranked = np.lexsort((split.order[kept], draws))
    is_test = below(draws, test_size)
    is_test[ranked[0]], is_test[ranked[-1]] = True, False
    split.statuses[kept[is_test]] = TEST
