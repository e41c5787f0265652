"""GPUs by name: memory and the speed that their makers state, and hours that others have reported."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A GPU; `teraflops` is for dense bf16 products with float32 sums, from NVIDIA's data sheets."""

    name: str
    memory: int
    teraflops: float


CARDS = {
    "rtx-3090": Card("RTX 3090", 24, 71),
    "rtx-4090": Card("RTX 4090", 24, 165),
    "a10": Card("A10", 24, 125),
    "l4": Card("L4", 24, 121),
    "a6000": Card("RTX A6000", 48, 155),
    "l40s": Card("L40S", 48, 362),
    "a100-40": Card("A100 40 GB", 40, 312),
    "a100": Card("A100 80 GB", 80, 312),
    "h100": Card("H100 SXM", 80, 989),
    "h200": Card("H200 SXM", 141, 989),
    "b200": Card("B200", 180, 2250),
}
# Parts of a device's name that make it another card, with another speed.
VARIANTS = {"d", "laptop", "nvl", "pcie", "ti"}
# By the base that a recipe trains: what the model's card says of its own training.
REPORTED = {
    "beomi/Llama-3-Open-Ko-8B": "the AOG model card reports about 8 hours on one A100 for 3 epochs of 53,000 rows",
}


def cards_with(memory: float) -> list[Card]:
    """Return the GPUs of this size."""
    return [card for card in CARDS.values() if card.memory == memory]


def card_named(device: str) -> Card | None:
    """Return the card that CUDA calls so, such as `NVIDIA H100 80GB HBM3`; None where its speed is not known here."""
    words = set(re.split(r"[\s-]+", device.lower()))
    models = {re.findall(r"\w*\d\w*", card.name.lower())[0]: card for card in CARDS.values()}
    return None if words & VARIANTS else next((card for model, card in models.items() if model in words), None)
