"""Gates that look at one row's letters: its length, its share of Hangul, repetition, and two answers' lengths."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.gates.letters import Indices, Letters, fold, is_hangul, pieces, runs

PIECE = 5
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


def repetition(answers: pa.StringArray, least: float) -> dict[int, str]:
    """Mind answers that say the same over and over: few of their pieces of 5 letters are distinct."""
    text = fold(answers)
    starts, owners = runs(text, PIECE)
    # The owner in the upper half, so that one sort puts equal pieces of one answer side by side.
    hashes = pieces(text.codes, starts, starts + PIECE) >> np.uint64(32)
    keys = np.sort(hashes | (owners.astype(np.uint64) << np.uint64(32)))
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    totals = np.bincount(owners, minlength=len(answers))
    distinct = np.bincount(owners[first], minlength=len(answers))
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
