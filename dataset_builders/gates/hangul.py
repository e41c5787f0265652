"""The Hangul gate: rows of Korean sources that are hardly Korean."""

import numpy as np

from dataset_builders.gates._gate import Batch, Gate, Settings, Share
from dataset_builders.gates.letters import is_hangul


class Hangul(Settings):
    """The least share of Hangul among a row's letters; digits are no letters of a language."""

    min: Share = 0.1


def find_foreign(batch: Batch, settings: Hangul) -> dict[int, str]:
    """Return the rows of which a smaller share of letters is Hangul; only sources in Korean are looked at."""
    if batch.language != "ko":
        return {}
    text = batch.letters
    is_digit = (text.codes >= ord("0")) & (text.codes <= ord("9"))
    rows = np.repeat(np.arange(len(batch.rows)), text.lengths)
    letters, hangul = (np.bincount(rows, mask, len(batch.rows)) for mask in (~is_digit, is_hangul(text.codes)))
    shares = hangul / np.maximum(letters, 1)
    found = np.flatnonzero((shares < settings.min) & (letters > 0))
    return {row: f"{shares[row]:.0%} Hangul" for row in found.tolist()}


GATE = Gate("hangul", "too little Hangul", Hangul, find_foreign)
