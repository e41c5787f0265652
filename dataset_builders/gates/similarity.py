"""What near duplicates are found by: MinHash signatures of rows, and the bands of them that two rows may share.

Two rows are alike as much as their sets of 5-letter pieces overlap (Jaccard). A signature has 120 places, and rows
whose similarity is s agree in each with probability s (Broder, 1997). In 20 bands of 6 places, they share at least
one band with probability 1 - (1 - s**6)**20: 0.998 for s = 0.8, and 0.27 for s = 0.5.
"""

import numpy as np
import numpy.typing as npt
import rensa

from dataset_builders.gates.letters import Hashes, Letters, mix

BANDS = 20
PLACES = 6
_SEED = 42

Signatures = npt.NDArray[np.uint32]


def signatures(text: Letters) -> tuple[Signatures, npt.NDArray[np.bool_]]:
    """Return n signatures of 120 numbers, and which texts are long enough to have one."""
    hashes, owners, _ = text.shingles
    counts = np.bincount(owners, minlength=len(text.lengths))
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, BANDS * PLACES, _SEED)
    rows = np.array(matrix.to_rows(), np.uint32).reshape(len(counts), BANDS * PLACES)
    return rows, counts > 0


def bands(rows: Signatures) -> Hashes:
    """Return the hash of each band of n signatures: 20 by n numbers."""
    places = rows.reshape(len(rows), BANDS, PLACES).astype(np.uint64)
    hashes = np.zeros((len(rows), BANDS), np.uint64)
    for place in range(PLACES):
        hashes = mix(hashes ^ places[:, :, place])
    return np.ascontiguousarray(hashes.T)


def similarity(left: Signatures, right: Signatures) -> npt.NDArray[np.float64]:
    """Estimate the similarity of each pair of signatures, with a standard error of 0.04 at most around 0.8."""
    return np.asarray((left == right).mean(axis=1))
