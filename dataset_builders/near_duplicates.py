"""Near duplicates: MinHash signatures of rows, and the search by the bands of them that two rows may share.

Two rows are alike as much as their sets of 5-grams of letters overlap (Jaccard). A signature has 120 places, and rows
whose similarity is s agree in each with probability s (Broder, 1997). In 20 bands of 6 places, they share at least
one band with probability 1 - (1 - s**6)**20: 0.998 for s = 0.8, and 0.27 for s = 0.5.
Rows in one band are looked at in the order of their rank: a row is dropped only for one that is kept, and as alike.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import rensa

from dataset_builders.gates.letters import Letters, mix

FILE = "signatures"
BANDS, PLACES = 20, 6
# More of them take more memory, and fewer open the files of all chunks more often.
BANDS_AT_ONCE = 4
PAIRS_AT_ONCE = 50_000

Indices = npt.NDArray[np.int64]
Signature = npt.NDArray[np.uint32]
# For some rows, columns of numbers, or one of lists, of a file that the chunks have left.
Numbers = Callable[[Indices, Sequence[str], str], list[npt.NDArray[Any]]]
Take = Callable[[Indices, str, str], pa.ChunkedArray]
# A row, the row that it is a duplicate of, and their similarity.
Duplicate = tuple[int, int, float]


def signatures(text: Letters) -> list[Signature]:
    """Return a signature of 120 numbers for each text; they are zeros where a text is shorter than an n-gram."""
    hashes, owners, _ = text.shingles
    counts = np.bincount(owners, minlength=len(text.lengths))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, BANDS * PLACES, 42)
    rows = np.array(matrix.to_rows(), np.uint32).reshape(len(counts), BANDS * PLACES)
    rows[counts == 0] = 0
    return list(rows)


def signature_table(found: Sequence[Signature]) -> pa.Table:
    """Return signatures as a table, with a hash of each of their bands."""
    rows = np.stack(found)
    places = rows.reshape(len(rows), BANDS, PLACES).astype(np.uint64)
    bands = np.zeros((len(rows), BANDS), np.uint64)
    for place in range(PLACES):
        bands = mix(bands ^ places[:, :, place])
    columns = {f"band_{number}": np.ascontiguousarray(band) for number, band in enumerate(bands.T)}
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), BANDS * PLACES)
    return pa.table({**columns, "is_long_enough": rows.any(axis=1), "places": lists})


def near_duplicates(ranked: Indices, numbers: Numbers, take: Take, threshold: float) -> Iterator[Duplicate]:
    """Yield duplicates among the ranked rows; similarities have a standard error of 0.04 at most around 0.8."""
    [is_long_enough] = numbers(ranked, ["is_long_enough"], FILE)
    rows = ranked[is_long_enough]
    while len(rows):
        pairs = _pairs(rows, numbers)
        dropped = set[int]()
        for row, kept, similarity in _alike(rows, pairs, take, threshold):
            if row not in dropped and kept not in dropped:
                dropped.add(row)
                yield row, kept, similarity
        if not dropped:
            return
        # The others have no row in common with any band; those that lost their first row get another one.
        rows = rows[np.unique(pairs)]
        rows = rows[~np.isin(rows, list(dropped))]


def _pairs(rows: Indices, numbers: Numbers) -> Indices:
    """Return m pairs of places in `rows`: one that shares a band with another, and the first one of that band."""
    found = [np.zeros((0, 2), np.int64)]
    for hashes in _bands(rows, numbers):
        order = np.argsort(hashes, kind="stable")
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = hashes[order[1:]] != hashes[order[:-1]]
        firsts = order[np.flatnonzero(is_first)[np.cumsum(is_first) - 1]]
        found.append(np.stack([order, firsts], axis=1)[~is_first])
    return np.unique(np.concatenate(found), axis=0)


def _bands(rows: Indices, numbers: Numbers) -> Iterator[npt.NDArray[np.uint64]]:
    for start in range(0, BANDS, BANDS_AT_ONCE):
        yield from numbers(rows, [f"band_{number}" for number in range(start, start + BANDS_AT_ONCE)], FILE)


def _alike(rows: Indices, pairs: Indices, take: Take, threshold: float) -> Iterator[Duplicate]:
    """Yield the pairs that are alike, in the order of the rank of the row that is to go."""
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = rows[pairs[start : start + PAIRS_AT_ONCE]]
        needed, places = np.unique(some, return_inverse=True)
        lists = take(needed, "places", FILE).chunks
        found = np.concatenate([some.flatten().to_numpy() for some in lists]).reshape(-1, BANDS * PLACES)
        places = places.reshape(some.shape)
        similarity = (found[places[:, 0]] == found[places[:, 1]]).mean(axis=1)
        for place in np.flatnonzero(similarity >= threshold).tolist():
            yield int(some[place, 0]), int(some[place, 1]), float(similarity[place])
