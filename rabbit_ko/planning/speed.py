"""Hours: for a GPU at an assumed share of its stated speed, or from what `make bench WHAT=train` has measured."""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasPath, BaseModel, Field, ValidationError

from rabbit_ko.errors import UserError, reason
from rabbit_ko.planning.stage import Stage
from rabbit_ko.planning.work import Work
from rabbit_ko.recipes import RUNS

# What hours are given for where no speed has been measured; a well-tuned run may reach more, a padded one less.
MFU = 0.40
# Behind the name of a recipe's fast variant.
FAST = "-fast"


@dataclass(frozen=True)
class Gpu:
    """A GPU: GiB of memory, and teraflops of dense bf16 products with float32 sums, from NVIDIA's data sheets."""

    name: str
    memory: int
    teraflops: float


GPUS = {
    "rtx-3090": Gpu("RTX 3090", 24, 71),
    "rtx-4090": Gpu("RTX 4090", 24, 165),
    "a10": Gpu("A10", 24, 125),
    "l4": Gpu("L4", 24, 121),
    "a6000": Gpu("RTX A6000", 48, 155),
    "l40s": Gpu("L40S", 48, 362),
    "a100-40": Gpu("A100 40 GB", 40, 312),
    "a100": Gpu("A100 80 GB", 80, 312),
    "h100": Gpu("H100 SXM", 80, 989),
    "h200": Gpu("H200 SXM", 141, 989),
    "b200": Gpu("B200", 180, 2250),
}
# Parts of a device's name that make it another GPU, with another speed.
VARIANTS = {"d", "laptop", "nvl", "pcie", "ti"}


def gpu_named(device: str) -> Gpu | None:
    """Return the GPU that CUDA calls so, such as `NVIDIA H100 80GB HBM3`; None where its speed is not known here."""
    words = set(re.split(r"[\s-]+", device.lower()))
    models = {re.findall(r"\w*\d\w*", gpu.name.lower())[0]: gpu for gpu in GPUS.values()}
    return None if words & VARIANTS else next((gpu for model, gpu in models.items() if model in words), None)


def hours(work: Work, gpu: Gpu, gpus: int, mfu: float = MFU) -> float:
    """Return how long the work takes at this share of the speed that the GPU's maker states."""
    return work.flops / (gpu.teraflops * 1e12 * mfu * gpus) / 3600


def row_hours(rows: int, epochs: float, seconds: float, reference_seconds: float) -> float:
    """Return how long rows take at so many seconds each in every epoch, and once a run for DPO's reference."""
    return rows * (epochs * seconds + reference_seconds) / 3600


class Measurement(BaseModel, validate_by_name=True, validate_by_alias=True):
    """One stage on one machine, as it stands under `results` in the benchmark's JSON.

    seconds_per_row: what all GPUs together take for a row in each epoch, with its padding; reference_seconds_per_row
    once a run for DPO's reference. row_tokens: the mean length of the sequences. shape: where it may be another than
    the recipe's. peak_memory_gib: of the fullest GPU.
    """

    recipe: str
    stage: str
    device: str
    shape: str | None = None
    gpus: int = Field(default=1, ge=1)
    seconds_per_row: float = Field(validation_alias=AliasPath("speed", "seconds_per_row"), gt=0)
    reference_seconds_per_row: float = Field(
        validation_alias=AliasPath("speed", "reference_seconds_per_row"), default=0.0, ge=0
    )
    row_tokens: float | None = Field(validation_alias=AliasPath("rows", "tokens"), default=None)
    peak_memory_gib: float | None = None

    def hours(self, rows: int, epochs: float, gpus: int) -> float:
        """Return how long so many rows take; on another number of GPUs as if speed grew with it."""
        each = row_hours(rows, epochs, self.seconds_per_row, self.reference_seconds_per_row)
        return each * self.gpus / gpus

    @property
    def basis(self) -> str:
        """What its hours rest on, in one line."""
        reference = self.reference_seconds_per_row
        once = f" + {reference:.4g} s for the reference" if reference else ""
        length = f" of {self.row_tokens:,.0f} tokens" if self.row_tokens else ""
        return f"{self.device}: rows x (epochs x {self.seconds_per_row:.4g} s{once}), measured on rows{length}"


class _File(BaseModel):
    results: list[Measurement]


def measured_file(recipe: str) -> Path:
    """Return where the benchmark writes what it has measured of a recipe and of its fast variant."""
    return RUNS / "bench" / "train" / f"{recipe.removesuffix(FAST)}.json"


def read_measurements(path: Path, stage: Stage) -> list[Measurement]:
    """Return what was measured of a stage with its own model. Raises UserError where the file holds no results."""
    try:
        results = _File.model_validate_json(path.read_text(encoding="utf-8")).results
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise UserError(f"{path}: no measurements: {reason(error)[:200]}") from error
    asked, shapes = (stage.recipe, stage.method.name), (None, stage.shape.name)
    return [result for result in results if (result.recipe, result.stage) == asked and result.shape in shapes]
