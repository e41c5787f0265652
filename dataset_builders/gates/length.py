"""The length gate: rows with too few or too many characters."""

import numpy as np
import pyarrow.compute as pc
from pydantic import Field, model_validator

from dataset_builders.gates._gate import Batch, Gate, Settings


class Length(Settings):
    """Characters of all messages together, reasoning and calls included, but for the system message."""

    min: int = Field(default=4, ge=0)
    max: int = Field(default=50_000, gt=0)

    @model_validator(mode="after")
    def _has_room(self) -> "Length":
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


def find_wrong_length(batch: Batch, settings: Length) -> dict[int, str]:
    """Return the rows with fewer or more characters."""
    lengths = pc.utf8_length(batch.texts).to_numpy()
    found = np.flatnonzero((lengths < settings.min) | (lengths > settings.max))
    return {row: f"{lengths[row]:,} characters" for row in found.tolist()}


GATE = Gate("length", "length", Length, find_wrong_length)
