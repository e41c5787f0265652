"""Floating-point operations of training, counted as model FLOPs utilisation (MFU) counts them.

A product of a matrix with a vector takes two operations a weight. Forward and backward pass of a weight that is
trained take 6 (Kaplan et al. 2020, "Scaling Laws for Neural Language Models", 2.1); of a frozen weight 4, since its
own gradient is not made. Attention adds the products of queries with keys, and of their weights with values, in each
layer (Chowdhery et al. 2022, "PaLM", appendix B), over half of the positions, since it looks back only. What gradient
checkpointing computes a second time is no part of MFU, and neither are norms.
"""

from rabbit_ko.planning.shape import Shape
from rabbit_ko.planning.stage import Stage

FORWARD, TRAINED, FROZEN = 2, 6, 4


def attention_flops(shape: Shape, context: float) -> float:
    """Forward operations of attention for one token, in a row of `context` tokens, in all layers."""
    return shape.layers * 2 * 2 * shape.query_width * context / 2


def forward_flops(shape: Shape, context: float) -> float:
    """Operations of one token without training, as in the reference of DPO."""
    return FORWARD * shape.matmul_parameters + attention_flops(shape, context)


def training_flops(shape: Shape, context: float, rank: int | None) -> float:
    """Operations of one token in training: with LoRA of this rank on a frozen model, or of all weights for None."""
    attention = 3 * attention_flops(shape, context)
    if rank is None:
        return TRAINED * shape.matmul_parameters + attention
    return FROZEN * shape.matmul_parameters + TRAINED * shape.lora_parameters(rank) + attention


def stage_flops(stage: Stage, context: float) -> float:
    """Operations for one token of a stage's rows; in DPO the reference reads each of them too."""
    reference = forward_flops(stage.shape, context) if stage.kind == "dpo" else 0.0
    return training_flops(stage.shape, context, stage.rank) + reference
