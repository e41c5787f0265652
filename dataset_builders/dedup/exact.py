"""Rows that are equal, told by a hash of 128 bits that the chunks have left."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

# Two hashes of 64 bits each that only equal ids, or equal contents, have in common; draws depend on the id alone.
SAME_ID = ("order", "sample")
SAME_CONTENT = ("content_high", "content_low")


def equal_rows(
    ranked: npt.NDArray[np.int64], high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]
) -> Iterator[tuple[int, int]]:
    """Yield (row, the row that stays) for rows with both hashes in common.

    ranked: n rows, of which the first one stays. high, low: their n hashes.
    """
    order = np.lexsort((low, high))
    is_same = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
    first = 0
    for place in np.flatnonzero(is_same).tolist():
        if not (place and is_same[place - 1]):
            first = place
        yield int(ranked[order[place + 1]]), int(ranked[order[first]])
