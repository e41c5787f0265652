"""Texts as one array of folded letters (lower case, letters and digits alone), and hashes of their n-grams."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint16]
Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

SHINGLE = 5
# An odd number, so that its powers can be divided by, modulo 2**64.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


@dataclass(frozen=True)
class Letters:
    """Letters of n texts, `codes[offsets[i]:offsets[i + 1]]` those of text i, and whether a word starts with each."""

    codes: Codes
    offsets: Indices
    starts: npt.NDArray[np.bool_]

    @property
    def lengths(self) -> Indices:
        """Letters of each text."""
        return np.diff(self.offsets)

    def hashes(self, starts: Indices, ends: Indices) -> Hashes:
        """Return a hash of the letters [start, end) for each pair; the same letters have the same hash anywhere."""
        return mix((self._sums[ends] - self._sums[starts]) * self._powers(_INVERSE)[starts])

    def runs(self, size: int) -> tuple[Indices, Indices]:
        """Return the starts of every `size` letters in a row within one text, and the text that each is of."""
        counts = np.maximum(self.lengths - size + 1, 0)
        owners = np.repeat(np.arange(len(counts)), counts)
        shifts = self.offsets[:-1] - (np.cumsum(counts) - counts)
        return np.arange(len(owners)) + np.repeat(shifts, counts), owners

    @cached_property
    def shingles(self) -> tuple[Hashes, Indices, Indices]:
        """The hashes of all 5-grams of letters, the text that each is of, and where it starts."""
        starts, owners = self.runs(SHINGLE)
        return self.hashes(starts, starts + SHINGLE), owners, starts

    @cached_property
    def _sums(self) -> Hashes:
        """The letters as digits of a number in base _BASE, modulo 2**64, summed up from the left."""
        sums = np.zeros(len(self.codes) + 1, np.uint64)
        np.cumsum(_digits()[self.codes] * self._powers(_BASE)[: len(self.codes)], out=sums[1:])
        return sums

    def _powers(self, base: int) -> Hashes:
        # Few sizes, so that few tables of powers are made.
        return _powers(base, 1 << max(16, len(self.codes).bit_length()))


def fold(texts: Sequence[str]) -> Letters:
    """Fold texts to their letters."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts], dtype=np.int64)))
    # Letters beyond the basic plane are too rare to matter here.
    folded = _folds()[np.minimum(codes, 0xFFFF)]
    is_letter = folded > 0
    starts = is_letter.copy()
    starts[1:] &= ~is_letter[:-1]
    firsts = offsets[:-1][np.diff(offsets) > 0]
    starts[firsts] = is_letter[firsts]
    count = np.concatenate(([0], np.cumsum(is_letter)))
    return Letters(folded[is_letter], count[offsets], starts[is_letter])


def is_hangul(codes: Codes) -> npt.NDArray[np.bool_]:
    """Tell which code points are Hangul: syllables, and the single letters of which they are made."""
    return ((codes >= 0xAC00) & (codes <= 0xD7A3)) | ((codes >= 0x3131) & (codes <= 0x318E))


def mix(values: npt.NDArray[np.uint64]) -> Hashes:
    """Spread the bits of numbers over 64 bits (the finalizer of SplitMix64, by Steele, Lea and Flood)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed


@cache
def _folds() -> Codes:
    """The folded letter of each code point of the basic plane, zero where it is none."""
    characters = [chr(code) if chr(code).isalnum() else "\0" for code in range(0xFFFF)]
    lower = [character.lower() if len(character.lower()) == 1 else character for character in characters]
    return np.array([*map(ord, lower), 0], np.uint16)


@cache
def _powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


@cache
def _digits() -> Hashes:
    """A number for each letter, with no likeness between those of letters that stand side by side."""
    return mix(np.arange(1 << 16, dtype=np.uint64))
