"""Gates that look at one row's letters: its length, its share of Hangul, repetition, and two answers' lengths."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.gates.letters import Indices, Letters, is_hangul

# Shorter answers repeat themselves by chance.
_LONG_ENOUGH = 50


def length(texts: pa.StringArray, least: int, most: int) -> dict[int, str]:
    """Mind texts with fewer or more characters; return row -> evidence."""
    lengths = pc.utf8_length(texts).to_numpy()
    minded = np.flatnonzero((lengths < least) | (lengths > most))
    return {row: f"{lengths[row]:,} characters" for row in minded.tolist()}


def hangul(text: Letters, least: float) -> dict[int, str]:
    """Mind texts of which a smaller share of letters is Hangul; digits are no letters of a language."""
    is_letter = ~((text.codes >= ord("0")) & (text.codes <= ord("9")))
    counts = _sums(is_letter, text), _sums(is_hangul(text.codes), text)
    shares = counts[1] / np.maximum(counts[0], 1)
    minded = np.flatnonzero((shares < least) & (counts[0] > 0))
    return {row: f"{shares[row]:.0%} Hangul" for row in minded.tolist()}


def repetition(text: Letters, is_looked_at: npt.NDArray[np.bool_], least: float) -> dict[int, str]:
    """Mind texts that say the same over and over: few of their pieces of 5 letters are distinct.

    is_looked_at: for each letter, whether pieces that start with it count.
    """
    hashes, owners, starts = text.shingles
    counts = is_looked_at[starts]
    hashes, owners = hashes[counts], owners[counts]
    # The owner in the upper half, so that one sort puts equal pieces of one text side by side.
    keys = np.sort((hashes >> np.uint64(32)) | (owners.astype(np.uint64) << np.uint64(32)))
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    totals = np.bincount(owners, minlength=len(text.lengths))
    distinct = np.bincount(owners[is_first], minlength=len(text.lengths))
    minded = np.flatnonzero((totals >= _LONG_ENOUGH) & (distinct < least * totals))
    return {row: f"{distinct[row]} of {totals[row]} pieces are distinct" for row in minded.tolist()}


def length_ratio(chosen: pa.StringArray, rejected: pa.StringArray, most: float) -> dict[int, str]:
    """Mind pairs of answers of which one is more than `most` times as long as the other."""
    lengths = np.stack([pc.utf8_length(side).to_numpy() for side in (chosen, rejected)])
    minded = np.flatnonzero(lengths.max(axis=0) > most * np.maximum(lengths.min(axis=0), 1))
    return {row: f"{lengths[0][row]:,} and {lengths[1][row]:,} characters" for row in minded.tolist()}


def _sums(mask: npt.NDArray[np.bool_], text: Letters) -> Indices:
    total = np.concatenate((np.zeros(1, np.int64), np.cumsum(mask)))
    return np.diff(total[text.offsets])
