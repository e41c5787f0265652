"""What the forward pass keeps for the backward pass: the operations of a Llama layer, and what each of them saves.

In the manner of Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", for
frozen weights: a linear layer that is not trained keeps nothing, its LoRA adapter keeps its input. Bytes for one
token, two a number, as bf16 and fp16 take, unless said otherwise. A test counts what autograd saves.
"""

from math import ceil

from rabbit_ko.planning.stage import Stage

HALF, FULL = 2, 4


def layer_bytes(stage: Stage) -> int:
    """What one decoder layer keeps for each token."""
    return _norms(stage) + _attention(stage) + _linears(stage) + _glu(stage)


def kept_bytes(stage: Stage) -> int:
    """What the whole model keeps for each token between the passes; with checkpointing each layer's input alone."""
    each = HALF * stage.shape.hidden_size if stage.checkpointing else layer_bytes(stage)
    return stage.shape.layers * each


def working_bytes(stage: Stage) -> int:
    """What is there beside it while one layer is in its backward pass: gradients, and what is recomputed."""
    gradients = HALF * 2 * (stage.shape.intermediate_size + stage.shape.hidden_size)
    return gradients + (layer_bytes(stage) if stage.checkpointing else 0)


def logits_bytes(stage: Stage) -> int:
    """What a batch's loss holds at most, for all its tokens."""
    vocabulary = stage.shape.vocab_size
    if stage.kind == "dpo":
        # float32: the logits, and gradients from the chosen token, the normalizer and the shift by one.
        return stage.tokens * vocabulary * 4 * FULL
    if stage.fused_loss:
        return _chunk(stage) * vocabulary * HALF + stage.tokens * stage.shape.hidden_size * HALF
    # float32: the log-softmax, its gradient and that of the logits.
    return stage.tokens * vocabulary * 3 * FULL


def evaluation_bytes(stage: Stage) -> int:
    """What a batch's loss holds in evaluation, where Liger's plugin leaves the logits whole and nothing else is kept.

    In 16 bits, in float32 for the log-softmax, and in float32 as accelerate hands them on. DPO holds less than in
    training.
    """
    return stage.tokens * stage.shape.vocab_size * (HALF + 2 * FULL) if stage.evaluated and stage.kind == "sft" else 0


def _norms(stage: Stage) -> int:
    """Two a layer: the input, which the model's own makes float32."""
    return 2 * stage.shape.hidden_size * (HALF if stage.fused_norm else FULL)


def _attention(stage: Stage) -> int:
    """Query, key, value and output, and a float32 normalizer for each head."""
    shape = stage.shape
    key = shape.kv_width if stage.grouped_attention else shape.query_width
    return HALF * (2 * shape.query_width + 2 * key) + FULL * shape.heads


def _linears(stage: Stage) -> int:
    """Inputs of the linear layers: one a group with LoRA kernels, else one for each adapter; dropout adds to them."""
    shape = stage.shape
    if stage.rank is None:
        return HALF * 2 * shape.hidden_size
    if stage.lora_kernels:
        dropped = 2 * shape.hidden_size + shape.query_width if stage.dropout else 0
        return HALF * (2 * shape.hidden_size + dropped)
    inputs = sum(inputs for inputs, _ in shape.linears.values())
    mask = inputs if stage.dropout else 0
    return HALF * (inputs + stage.rank * len(shape.linears)) + mask


def _glu(stage: Stage) -> int:
    """Gate and up; the model's own keeps the activated gate too, and the product where an adapter does not."""
    inner = HALF * stage.shape.intermediate_size
    if stage.lora_kernels:
        return 2 * inner
    return (2 if stage.fused_glu else 3) * inner + (inner if stage.rank is None else 0)


def _chunk(stage: Stage) -> int:
    """The tokens whose logits Liger's loss holds at a time, so that they take no more than the hidden states do."""
    pieces = ceil(stage.shape.vocab_size / stage.shape.hidden_size)
    return 1 << (ceil(stage.tokens / pieces) - 1).bit_length()
