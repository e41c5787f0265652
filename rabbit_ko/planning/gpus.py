"""GPUs by name: memory and the speed that their makers state, and hours that others have reported."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A GPU; `teraflops` is for dense bf16 products with float32 sums, from NVIDIA's data sheets."""

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
# By the base that a recipe trains: what the model's card says of its own training.
REPORTED = {
    "beomi/Llama-3-Open-Ko-8B": "the AOG model card reports about 8 hours on one A100 for 3 epochs of 53,000 rows",
}


def gpus_with(memory: float) -> list[Gpu]:
    """Return the GPUs of this size."""
    return [gpu for gpu in GPUS.values() if gpu.memory == memory]


def gpu_named(device: str) -> Gpu | None:
    """Return the GPU that CUDA calls so, such as `NVIDIA H100 80GB HBM3`; None where its speed is not known here."""
    words = set(re.split(r"[\s-]+", device.lower()))
    models = {re.findall(r"\w*\d\w*", gpu.name.lower())[0]: gpu for gpu in GPUS.values()}
    return None if words & VARIANTS else next((gpu for model, gpu in models.items() if model in words), None)
