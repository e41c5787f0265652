"""The split among all rows of a kind, by the keys that chunks have left; it depends on no order of the chunks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset_builders.near_duplicates import Duplicate, Indices, near_duplicates
from dataset_builders.pipeline import DUPLICATE_ID, EXACT_DUPLICATE, OVER_MAX, OVER_SHARE, DoneChunk
from dataset_builders.recipe import DataConfig
from dataset_builders.sampling import below
from dataset_builders.schemas import from_bits
from rabbit_ko.methods import RowKind
from rabbit_ko.storage import read_arrow

SPLITS = TRAIN, TEST = ("train", "test")
STATUSES = (*SPLITS, DUPLICATE_ID, EXACT_DUPLICATE, "near duplicate", OVER_MAX, OVER_SHARE)


@dataclass(frozen=True)
class Repeats:
    """Train rows that stand in the shards again, by their places among all rows; their own ids, and those' keys."""

    rows: Indices
    ids: tuple[str, ...]
    order: npt.NDArray[np.uint64]


class Split:
    """What becomes of the rows of all chunks, one chunk after the other: n keys, n places in STATUSES, n sources."""

    def __init__(self, chunks: Iterable[DoneChunk]) -> None:
        self.chunks = [chunk for chunk in chunks if chunk.rows]
        rows = [chunk.rows for chunk in self.chunks]
        self.starts: list[int] = np.cumsum([0, *rows]).tolist()
        self.sources = np.repeat(np.array([chunk.source for chunk in self.chunks], np.int32), rows)
        self.statuses = np.zeros(len(self.sources), np.uint8)
        self._keys: dict[str, npt.NDArray[Any]] = {}
        # Read once, since to open the files of thousands of chunks takes longer than to read them.
        for chunk, (start, end) in zip(self.chunks, pairwise(self.starts), strict=True):
            table = read_arrow(f"{chunk.folder}/keys.arrow")
            for name in table.column_names:
                key = table[name].to_numpy()
                self._keys.setdefault(name, np.empty(len(self.sources), key.dtype))[start:end] = key
        self.order = self.column("order")
        # The rows of each source stand together in this order.
        self._by_source = np.argsort(self.sources, kind="stable")
        self._source_of = self.sources[self._by_source]
        self.duplicate_of: dict[int, tuple[int, float]] = {}
        self.reported = Counter[tuple[int, str]]()
        self.repeats = Repeats(np.zeros(0, np.int64), (), np.zeros(0, np.uint64))

    def column(self, name: str) -> npt.NDArray[np.uint64]:
        """Return one of the keys that the chunks have left, for all rows."""
        return np.asarray(self._keys.get(name, np.zeros(0, np.uint64)))

    @property
    def extras(self) -> set[str]:
        """The columns that a row that is kept needs, and most do not."""
        return from_bits(int(np.bitwise_or.reduce(self.column("extras")[self.statuses < len(SPLITS)])))

    def take(self, rows: Indices, name: str, file: str) -> pa.ChunkedArray:
        """Read a column that the chunks have left for some rows, in their order, from those chunks that hold them."""
        parts = list(self._parts(rows, [name], file))
        if not parts:
            return pa.chunked_array([], pa.string())
        back = np.argsort(np.concatenate([places for places, _ in parts]))
        return pa.concat_tables([table for _, table in parts])[name].take(pa.array(back))

    def numbers(self, rows: Indices, names: Sequence[str], file: str) -> list[npt.NDArray[Any]]:
        """Read columns of numbers as `take` does, each into an array."""
        found: dict[str, npt.NDArray[Any]] = {}
        for places, table in self._parts(rows, names, file):
            for name in names:
                values = table[name].to_numpy()
                found.setdefault(name, np.empty(len(rows), values.dtype))[places] = values
        return [found.get(name, np.zeros(0, np.bool_)) for name in names]

    def _parts(self, rows: Indices, names: Sequence[str], file: str) -> Iterator[tuple[Indices, pa.Table]]:
        """Yield places in `rows`, and the columns of the rows that stand there, for each chunk that holds some."""
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows, self.starts, sorter=order)
        for chunk in np.flatnonzero(np.diff(bounds)).tolist():
            places = order[bounds[chunk] : bounds[chunk + 1]]
            table = read_arrow(f"{self.chunks[chunk].folder}/{file}.arrow", names)
            yield places, table.take(pa.array(rows[places] - self.starts[chunk]))

    def rows_of(self, source: int) -> Indices:
        """Return the rows of a source, at no cost for those of others."""
        start, end = np.searchsorted(self._source_of, [source, source + 1])
        return self._by_source[start:end]

    def kept(self, source: int | None = None) -> Indices:
        """Return the rows that no step has dropped so far, of all sources or of one."""
        rows = np.arange(len(self.statuses)) if source is None else self.rows_of(source)
        return np.asarray(rows[self.statuses[rows] == STATUSES.index(TRAIN)])

    def ranked(self, source: int | None = None) -> Indices:
        """Return the kept rows by source, as in the config, and then by key; of equal ones the first stays."""
        kept = self.kept(source)
        return np.asarray(kept[np.lexsort((self.column("tie")[kept], self.order[kept], self.sources[kept]))])

    def by_label(self, rows: Indices) -> list[Indices]:
        """Return rows by their labels, where they have any: a good and a bad answer may be alike in all else."""
        labels = self.column("label")
        return [rows[labels[rows] == label] for label in np.unique(labels)] if len(labels) else [rows]

    def equal(self, columns: tuple[str, str], source: int | None = None) -> Iterator[Duplicate]:
        """Yield (row, the row that stays, 1.0) for rows that have both of these hashes in common."""
        ranked = self.ranked(source)
        high, low = (self.column(name)[ranked] for name in columns)
        order = np.lexsort((low, high))
        is_same = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
        first = 0
        for place in np.flatnonzero(is_same).tolist():
            if not (place and is_same[place - 1]):
                first = place
            yield int(ranked[order[place + 1]]), int(ranked[order[first]]), 1.0

    def prompts(self, status: str) -> npt.NDArray[np.uint64]:
        """Return the hashes of what is asked in the rows of a status."""
        return np.asarray(self.column("prompt")[self.statuses == STATUSES.index(status)])

    def drop(self, rows: Indices | int, status: str) -> None:
        """Give the rows a status."""
        self.statuses[rows] = STATUSES.index(status)

    def drop_duplicates(self, status: str, duplicates: Iterable[Duplicate], action: str = "reject") -> None:
        """Give each row that is a duplicate a status, or only count it."""
        for row, kept, similarity in duplicates:
            if action == "report":
                self.reported[int(self.sources[row]), status] += 1
            else:
                self.drop(row, status)
                self.duplicate_of[row] = kept, similarity


def split_rows(chunks: Iterable[DoneChunk], config: DataConfig, before: Mapping[RowKind, "Split"]) -> Split:
    """Decide what becomes of the rows of one kind, `before` which others have been split."""
    split = Split(chunks)
    # Draws depend on the id alone, and only equal ids have two of them in common.
    split.drop_duplicates(DUPLICATE_ID, split.equal(("order", "sample")))
    for number, entry in enumerate(config.sources):
        if entry.max_samples is not None:
            # Within the source first: what is over its max_samples must not push out another source's duplicate.
            _ask_gates(split, config, number)
            kept = split.kept(number)
            ranked = kept[np.lexsort((split.order[kept], split.column("sample")[kept]))]
            split.drop(ranked[entry.max_samples :], OVER_MAX)
    _ask_gates(split, config)
    _draw_test_rows(split, config.test_size, before)
    return split


def _ask_gates(split: Split, config: DataConfig, source: int | None = None) -> None:
    # Only duplicates among all rows are reported.
    exact, near = config.quality.exact_duplicates, config.quality.near_duplicates
    actions = ("reject", "report") if source is None else ("reject",)
    if (action := config.quality.action_of(exact)) in actions:
        split.drop_duplicates(EXACT_DUPLICATE, split.equal(("content_high", "content_low"), source), action)
    if (action := config.quality.action_of(near)) in actions:
        for rows in split.by_label(split.ranked(source)):
            found = near_duplicates(rows, split.numbers, split.take, near.threshold)
            split.drop_duplicates("near duplicate", found, action)


def _draw_test_rows(split: Split, test_size: float, before: Mapping[RowKind, Split]) -> None:
    """Draw the rows for testing by id, all of a prompt by that of the first; no draw leaves a split empty.

    A prompt that is tested before is tested again. Those of pairs and of labelled answers are on one side, since one
    run can train both; that of a conversation which is trained may be tested with other answers.
    """
    kept = split.kept()
    kept = kept[np.argsort(split.order[kept], kind="stable")]
    prompts, first, rows = np.unique(split.column("prompt")[kept], return_index=True, return_inverse=True)
    if test_size and len(prompts) > 1:
        draws = split.column("test")[kept[first]]
        ranked = np.lexsort((first, draws))
        is_test = below(draws, test_size)
        is_test[ranked[0]], is_test[ranked[-1]] = True, False
        for kind, other in before.items():
            is_test |= np.isin(prompts, other.prompts(TEST))
            is_test &= (kind == "sft") | ~np.isin(prompts, other.prompts(TRAIN))
        split.drop(kept[is_test[rows]], TEST)
