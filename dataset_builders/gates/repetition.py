"""The repetition gate: answers that say the same over and over."""

import numpy as np

from dataset_builders.gates._gate import Batch, Gate, Settings, Share


class Repetition(Settings):
    """The least share of distinct 5-grams of letters in an answer."""

    min_distinct: Share = 0.2


def find_repetition(batch: Batch, settings: Repetition) -> dict[int, str]:
    """Return the rows of whose answers' 5-grams few are distinct; of a preference, only the chosen answer counts."""
    hashes, owners, starts = batch.letters.shingles
    is_answer = batch.answer_letters[starts]
    hashes, owners = hashes[is_answer], owners[is_answer]
    # The owner in the upper half, so that one sort puts equal n-grams of one row side by side.
    keys = np.sort((hashes >> np.uint64(32)) | (owners.astype(np.uint64) << np.uint64(32)))
    is_first = np.ones(len(keys), np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    totals = np.bincount(owners, minlength=len(batch.rows))
    distinct = np.bincount(owners[is_first], minlength=len(batch.rows))
    # Shorter answers repeat themselves by chance.
    found = np.flatnonzero((totals >= 50) & (distinct < settings.min_distinct * totals))
    return {row: f"{distinct[row]} of {totals[row]} 5-grams are distinct" for row in found.tolist()}


GATE = Gate("repetition", "repetition", Repetition, find_repetition)
