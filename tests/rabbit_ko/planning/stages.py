"""Stages to plan, made by hand."""

from pathlib import Path
from typing import Any

from axolotl_plugins.processes import Batch
from rabbit_ko.methods import METHODS
from rabbit_ko.planning.stage import ModelShape, Stage, load_shape

LLAMA_8B = load_shape("beomi/Llama-3-Open-Ko-8B")
TINY = ModelShape(
    name="tiny",
    model_type="llama",
    vocab_size=320,
    hidden_size=128,
    intermediate_size=448,
    layers=4,
    heads=8,
    kv_heads=2,
    head_dim=16,
)


def stage(**changes: Any) -> Stage:
    """A plain SFT stage with LoRA, but for the changes."""
    plain: dict[str, Any] = {
        "path": Path("sft.yaml"),
        "method": METHODS["sft"],
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
