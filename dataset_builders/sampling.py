"""Sampling that is keyed by a row's id, so that neither order nor neighbours can change it."""

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset_builders.batch import byte_strings

Draws = npt.NDArray[np.uint64]


def draw(seed: int, purpose: str, row_ids: pa.StringArray) -> Draws:
    """Return a number in [0, 2**64) for each row, which depends on the seed, what it is drawn for and the row's id.

    Draws for different purposes are independent; the rows below a tenth are among the rows below a fifth.
    """
    key = hashlib.blake2b(f"{seed}\0{purpose}\0".encode(), digest_size=8)
    drawn = bytearray()
    for row_id in byte_strings(row_ids):
        row = key.copy()
        row.update(row_id)
        drawn += row.digest()
    return np.frombuffer(drawn, ">u8").astype(np.uint64)


def below(draws: Draws, share: float) -> npt.NDArray[np.bool_]:
    """Tell which draws are among this share of all."""
    return np.asarray(draws < np.uint64(share * 2**64)) if share < 1 else np.ones(len(draws), np.bool_)
