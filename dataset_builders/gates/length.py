"""The length gate: rows with too few or too many characters."""

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from dataset_builders.gates._gate import Batch, Gate, Settings


class Length(Settings):
    """Characters of all messages together, but for the system message."""

    min: int = Field(default=4, ge=0)
    max: int = Field(default=50_000, gt=0)


def find_wrong_length(batch: Batch, settings: Length) -> dict[int, str]:
    """Return the rows with fewer or more characters."""
    lengths = pc.utf8_length(batch.texts).to_numpy()
    found = np.flatnonzero((lengths < settings.min) | (lengths > settings.max))
    return {row: f"{lengths[row]:,} characters" for row in found.tolist()}


GATE = Gate("length", "length", Length, find_wrong_length)
