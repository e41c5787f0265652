"""What a benchmark has measured of a stage, to stand in the place of assumptions.

`make bench WHAT=train` writes it: a JSON file with a list under `results`. Each entry has `recipe`, `stage`,
`device`, `gpus`, under `speed` the seconds that all of them together take for a row, where it was measured
`peak_memory_gib` of the fullest one, where they are known the `rows` it was measured on, and the `shape` of the model
where that may be another than the recipe's.
"""

from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from rabbit_ko.errors import UserError, reason
from rabbit_ko.planning.stage import Stage
from rabbit_ko.planning.work import row_hours


class RowSpeed(BaseModel):
    """Seconds that a row takes in each epoch, with its padding, and once a run for DPO's reference."""

    seconds_per_row: float = Field(gt=0)
    reference_seconds_per_row: float = Field(default=0.0, ge=0)


class MeasuredRows(BaseModel):
    """`tokens` is the mean length of the sequences that were trained on."""

    tokens: float


class Measurement(BaseModel):
    """One stage on one machine."""

    recipe: str
    stage: str
    device: str
    shape: str | None = None
    gpus: int = Field(default=1, ge=1)
    speed: RowSpeed
    rows: MeasuredRows | None = None
    peak_memory_gib: float | None = None

    def hours(self, rows: int, epochs: float, gpus: int) -> float:
        """Return how long so many rows take; on another number of GPUs as if speed grew with it."""
        each = row_hours(rows, epochs, self.speed.seconds_per_row, self.speed.reference_seconds_per_row)
        return each * self.gpus / gpus

    @property
    def basis(self) -> str:
        """What its hours rest on, in one line."""
        reference = self.speed.reference_seconds_per_row
        once = f" + {reference:.4g} s for the reference" if reference else ""
        length = f" of {self.rows.tokens:,.0f} tokens" if self.rows else ""
        return f"{self.device}: rows x (epochs x {self.speed.seconds_per_row:.4g} s{once}), measured on rows{length}"


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
