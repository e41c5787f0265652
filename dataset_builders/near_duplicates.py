"""Near duplicates among all rows of a stage, by the bands that the parts have left.

Rows in one band are looked at in the order of their rank: a row is dropped only for a row that is kept, and as much
alike as the threshold asks. So each dropped row can name the one that it copies.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dataset_builders.gates.similarity import BANDS, Signatures, similarity
from rabbit_ko.storage import read_arrow

PAIRS_AT_ONCE = 50_000

Indices = npt.NDArray[np.int64]


class HasSignatures(Protocol):
    """A part that has left its signatures in a folder."""

    @property
    def folder(self) -> str: ...

    @property
    def rows(self) -> int: ...


def near_duplicates(
    parts: Sequence[HasSignatures], ranked: Indices, column: Callable[[str, str], Any], threshold: float
) -> Iterator[tuple[int, int, float]]:
    """Yield (row, the row that stays, their similarity). ranked: the rows to look at, the first one stays."""
    rows = ranked[column("is_long_enough", "signatures")[ranked]] if len(ranked) else ranked
    while len(rows):
        pairs = _pairs(rows, column)
        dropped = {}
        for row, twin, alike in _alike(parts, rows, pairs, threshold):
            if row not in dropped and twin not in dropped:
                dropped[row] = twin
                yield row, twin, alike
        if not dropped:
            return
        # The others have no row in common with any band; those that lost their first row get another one.
        rows = rows[np.unique(pairs)]
        rows = rows[~np.isin(rows, list(dropped))]


def _pairs(rows: Indices, column: Callable[[str, str], Any]) -> Indices:
    """Return m pairs of places in `rows`: one that shares a band with another, and the first one of that band."""
    found = [np.zeros((0, 2), np.int64)]
    for number in range(BANDS):
        hashes = column(f"band_{number:02}", "signatures")[rows]
        order = np.argsort(hashes, kind="stable")
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = hashes[order[1:]] != hashes[order[:-1]]
        firsts = order[np.flatnonzero(is_first)[np.cumsum(is_first) - 1]]
        found.append(np.stack([order, firsts], axis=1)[~is_first])
    return np.unique(np.concatenate(found), axis=0)


def _alike(
    parts: Sequence[HasSignatures], rows: Indices, pairs: Indices, threshold: float
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs that are alike, in the order of the rank of the row that is to go."""
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = rows[pairs[start : start + PAIRS_AT_ONCE]]
        needed, places = np.unique(some, return_inverse=True)
        found = _signatures(parts, needed)
        places = places.reshape(some.shape)
        alike = similarity(found[places[:, 0]], found[places[:, 1]])
        for place in np.flatnonzero(alike >= threshold).tolist():
            yield int(some[place, 0]), int(some[place, 1]), float(alike[place])


def _signatures(parts: Sequence[HasSignatures], rows: Indices) -> Signatures:
    """Read the signatures of some rows, in ascending order."""
    found, first = [np.zeros((0, 0), np.uint32)], 0
    for part in parts:
        wanted = rows[(rows >= first) & (rows < first + part.rows)] - first
        first += part.rows
        if len(wanted):
            table = read_arrow(f"{part.folder}/signatures.arrow", ["places"])
            chosen = table["places"].combine_chunks().take(wanted)
            found.append(np.asarray(chosen.flatten()).reshape(len(wanted), -1))
    return np.concatenate(found[1:]) if found[1:] else found[0]
