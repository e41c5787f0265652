"""The Hangul gate: rows of Korean sources that are hardly Korean."""

import numpy as np

from dataset_builders.gates._gate import Batch, Gate, Settings, Share
from dataset_builders.gates.letters import is_hangul


class Hangul(Settings):
    """The least share of Hangul among the letters that are said to a user or by one; digits are no letters."""

    min: Share = 0.1


def find_foreign(batch: Batch, settings: Hangul) -> dict[int, str]:
    """Return the rows of which a smaller share of letters is Hangul; only sources in Korean are looked at."""
    if batch.language != "ko":
        return {}
    text = batch.letters
    is_digit = (text.codes >= ord("0")) & (text.codes <= ord("9"))
    said = batch.content_letters
    masks = ~is_digit & said, is_hangul(text.codes) & said
    letters, hangul = (np.diff(np.append(0, np.cumsum(mask))[text.offsets]) for mask in masks)
    shares = hangul / np.maximum(letters, 1)
    found = np.flatnonzero((shares < settings.min) & (letters > 0))
    return {row: f"{shares[row]:.0%} Hangul" for row in found.tolist()}


GATE = Gate("hangul", "too little Hangul", Hangul, find_foreign)
