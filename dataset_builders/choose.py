"""The choice among all rows of a stage: which of them are duplicates, over max_samples, for testing, for training.

It looks at the keys that the parts have left, some 60 bytes a row, and never at the rows themselves. Nothing in it
depends on the order of files or parts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dataset_builders.gates.settings import Quality
from dataset_builders.near_duplicates import near_duplicates
from dataset_builders.recipe import DataConfig
from dataset_builders.refine import OVER_MAX
from dataset_builders.sampling import below
from rabbit_ko.storage import read_arrow

TRAIN, TEST = 0, 1
SPLITS = ("train", "test")
FATES = (*SPLITS, "duplicate id", "exact duplicate", "near duplicate", OVER_MAX)
DUPLICATE_ID, EXACT_DUPLICATE, NEAR_DUPLICATE, OVER = range(2, len(FATES))
# Two hashes of 64 bits each that only equal ids, or equal contents, have in common; draws depend on the id alone.
SAME_ID = ("order", "sample")
SAME_CONTENT = ("content_high", "content_low")

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RefinedPart:
    """A finished part: its folder, the place of its source in the config, and the number of its rows."""

    folder: str
    source: int
    rows: int


@dataclass
class Choice:
    """What becomes of the n rows of all parts, one part after the other.

    order: n keys. fates: n places in FATES. twins: row -> (the row that is kept, how alike they are).
    reported: (source, place in FATES) -> rows.
    """

    parts: list[RefinedPart]
    order: npt.NDArray[np.uint64]
    fates: npt.NDArray[np.uint8]
    twins: dict[int, tuple[int, float]] = field(default_factory=dict)
    reported: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def starts(self) -> Indices:
        """The first row of each part, and the number of all rows."""
        return np.concatenate(([0], np.cumsum([part.rows for part in self.parts], dtype=np.int64)))

    @property
    def sources(self) -> npt.NDArray[np.int32]:
        """The source of each row, as its place in the config."""
        return np.repeat(np.array([part.source for part in self.parts], np.int32), [part.rows for part in self.parts])

    @property
    def kept(self) -> Indices:
        """The rows that nothing is held against so far."""
        return np.flatnonzero(self.fates == TRAIN)

    def column(self, name: str, file: str = "keys") -> npt.NDArray[np.uint64]:
        """Read one of the columns that the parts have left, for all rows."""
        # Copied: a view would keep the whole file of its part in memory.
        columns = [read_arrow(f"{part.folder}/{file}.arrow", [name])[name].to_numpy().copy() for part in self.parts]
        return np.concatenate(columns) if columns else np.zeros(0, np.uint64)


def choose(parts: Sequence[RefinedPart], config: DataConfig) -> Choice:
    """Choose among the rows of one stage."""
    choice = Choice([part for part in parts if part.rows], np.zeros(0, np.uint64), np.zeros(0, np.uint8))
    choice.order = choice.column("order")
    choice.fates = np.zeros(len(choice.order), np.uint8)
    _drop(choice, DUPLICATE_ID, _twins(choice, SAME_ID), "reject")
    for number, entry in enumerate(config.sources):
        if entry.max_samples is not None:
            # Within the source first: what is beyond its limit must not push out another source's copy.
            _drop_copies(choice, config.quality, {"reject"}, number)
            _limit(choice, number, entry.max_samples)
    _drop_copies(choice, config.quality, {"reject", "report"})
    _split(choice, config.test_size)
    return choice


def _drop_copies(choice: Choice, quality: Quality, actions: set[str], source: int | None = None) -> None:
    """Drop the copies among all rows, or among one source's, of the kinds whose gates do one of these actions."""
    if (action := quality.action_of(quality.exact_duplicates)) in actions:
        _drop(choice, EXACT_DUPLICATE, _twins(choice, SAME_CONTENT, source), action)
    if (action := quality.action_of(quality.near_duplicates)) in actions:
        rows, threshold = _ranked(choice, source), quality.near_duplicates.threshold
        _drop(choice, NEAR_DUPLICATE, near_duplicates(choice.parts, rows, choice.column, threshold), action)


def _drop(choice: Choice, fate: int, twins: Iterator[tuple[int, int, float]], action: str) -> None:
    for row, twin, alike in twins:
        if action == "report":
            key = int(choice.sources[row]), fate
            choice.reported[key] = choice.reported.get(key, 0) + 1
        else:
            choice.fates[row] = fate
            choice.twins[row] = twin, alike


def _ranked(choice: Choice, source: int | None = None) -> Indices:
    """Return the kept rows, those of the first source in the config first: of two twins the first one stays."""
    kept = choice.kept if source is None else choice.kept[choice.sources[choice.kept] == source]
    return np.asarray(kept[np.lexsort((choice.column("tie")[kept], choice.order[kept], choice.sources[kept]))])


def _twins(choice: Choice, hashed: tuple[str, str], source: int | None = None) -> Iterator[tuple[int, int, float]]:
    """Yield (row, the row that stays, 1.0) for rows that have both of these hashes in common."""
    rows = _ranked(choice, source)
    high, low = (choice.column(name)[rows] for name in hashed)
    order = np.lexsort((low, high))
    is_same = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
    first = 0
    for place in np.flatnonzero(is_same).tolist():
        if not (place and is_same[place - 1]):
            first = place
        yield int(rows[order[place + 1]]), int(rows[order[first]]), 1.0


def _limit(choice: Choice, source: int, limit: int) -> None:
    rows = np.flatnonzero((choice.fates == TRAIN) & (choice.sources == source))
    ranked = rows[np.lexsort((choice.order[rows], choice.column("sample")[rows]))]
    choice.fates[ranked[limit:]] = OVER


def _split(choice: Choice, fraction: float) -> None:
    """Split by id into train and test; neither is left empty where both are wanted."""
    kept = choice.kept
    if not fraction or len(kept) < 2:
        return
    draws = choice.column("test")[kept]
    ranked = np.lexsort((choice.order[kept], draws))
    is_test = below(draws, fraction)
    is_test[ranked[0]], is_test[ranked[-1]] = True, False
    choice.fates[kept[is_test]] = TEST
