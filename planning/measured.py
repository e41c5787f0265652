"""What a benchmark has measured of a stage, to stand in the place of assumptions.

`make bench WHAT=train` writes it: a JSON file with a list under `results`. Each entry has `recipe`, `stage`,
`device`, `gpus`, `tokens_per_second` of all GPUs together, padding included, where it was measured `peak_memory_gib`
of the fullest one, and the `shape` of the model where that may be another than the recipe's.
"""

from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from dataset_builders.errors import UserError, reason
from planning.stage import Stage


class Measurement(BaseModel):
    """One stage on one machine."""

    recipe: str
    stage: str
    device: str
    shape: str | None = None
    gpus: int = Field(default=1, ge=1)
    tokens_per_second: float = Field(gt=0)
    peak_memory_gib: float | None = None

    def hours(self, positions: float, gpus: int) -> float:
        """Return how long so many positions take; on another number of GPUs as if speed grew with it."""
        return positions / (self.tokens_per_second * gpus / self.gpus) / 3600


class _File(BaseModel):
    results: list[Measurement]


def read_measurements(path: Path | None, stage: Stage) -> list[Measurement]:
    """Return what was measured of a stage with its own model; nothing without a file.

    Raises UserError where the file holds no results.
    """
    if path is None:
        return []
    try:
        results = _File.model_validate_json(path.read_text(encoding="utf-8")).results
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise UserError(f"{path}: no measurements: {reason(error)[:200]}") from error
    asked = (stage.path.parent.name, stage.kind)
    return [
        result
        for result in results
        if (result.recipe, result.stage) == asked and result.shape in (None, stage.shape.name)
    ]
