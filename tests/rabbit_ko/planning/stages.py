"""Stages to plan, made by hand."""

from pathlib import Path
from typing import Any

from axolotl_plugins.processes import Batch
from rabbit_ko.planning.shape import SHAPES, Shape, read_shape
from rabbit_ko.planning.stage import Stage

LLAMA_8B = read_shape(SHAPES / "llama-3-8b.json")
TINY = Shape("tiny", 320, 128, 448, 4, 8, 2, 16, False)


def stage(**changes: Any) -> Stage:
    """A plain SFT stage with LoRA, but for the changes."""
    plain: dict[str, Any] = {
        "path": Path("sft.yaml"),
        "kind": "sft",
        "data": Path("data/x"),
        "prompt": "prompt_strategies.qir",
        "shape": LLAMA_8B,
        "base_model": "base",
        "batch": Batch(4, 8),
        "sequence_len": 4096,
        "epochs": 3.0,
        "packed": False,
        "rank": 32,
        "dropout": False,
        "four_bit": False,
        "half": True,
        "checkpointing": False,
        "lora_kernels": False,
        "fused_norm": False,
        "fused_glu": False,
        "fused_loss": False,
        "grouped_attention": False,
        "evaluated": True,
    }
    return Stage(**{**plain, **changes})
