"""Draws that are keyed by a row's id, so that neither order nor neighbours can change them."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Each has its place in the digest of an id; a purpose that is added goes to the end.
PURPOSES = ("sample", "system_prompt", "order", "test")

Draws = npt.NDArray[np.uint64]


def draw(seed: int, row_ids: Sequence[str]) -> dict[str, Draws]:
    """Return, for each purpose, a number in [0, 2**64) for each row, which depends on the seed and its id alone."""
    keyed = hashlib.blake2b(digest_size=8 * len(PURPOSES), key=str(seed).encode())
    drawn = bytearray()
    for row_id in row_ids:
        row = keyed.copy()
        row.update(row_id.encode())
        drawn += row.digest()
    numbers = np.frombuffer(drawn, ">u8").reshape(-1, len(PURPOSES)).T.astype(np.uint64)
    return dict(zip(PURPOSES, numbers, strict=True))


def below(draws: Draws, share: float) -> npt.NDArray[np.bool_]:
    """Tell which draws are among this share of all."""
    return np.asarray(draws < np.uint64(share * 2**64)) if share < 1 else np.ones(len(draws), np.bool_)
