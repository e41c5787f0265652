"""The memory that one GPU needs in training, part by part, how each sharding spreads it, and what makes it less.

States of mixed-precision Adam as in Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion
Parameter Models", 3.1 and 5: ZeRO-1 spreads optimizer states, ZeRO-2 gradients too, ZeRO-3 and FSDP2 weights too.
4-bit weights as in Dettmers et al. 2023, "QLoRA", 3: NormalFloat in blocks of 64, with the scales quantized.
Activations in the manner of Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models",
for frozen weights: a linear layer that is not trained keeps nothing, its LoRA adapter keeps its input. They are bytes
for one token, two a number, as bf16 and fp16 take, unless said otherwise; a test counts what autograd saves.
"""

from collections.abc import Iterator
from math import ceil
from typing import Any, Literal, get_args

from axolotl_plugins.processes import Batch
from rabbit_ko.planning.stage import Stage

Sharding = Literal["ddp", "zero1", "zero2", "zero3", "fsdp2"]
SHARDINGS: tuple[Sharding, ...] = get_args(Sharding)
GIB = 2**30
HALF, FULL = 2, 4
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8
# Assumed, and said to be: what CUDA and its libraries take, what communication takes, and what the allocator loses.
CONTEXT = 0.8 * GIB
COMMUNICATION = 0.8 * GIB
FRAGMENTATION = 0.05
STATES = ("weights", "adapter", "gradients", "optimizer", "gathered")
PARTS = (*STATES, "activations", "working", "evaluation", "reserve")


def can_estimate(stage: Stage, sharding: Sharding) -> bool:
    """Tell whether there is an estimate; there is none for 4-bit weights that are spread, nor a run to check one."""
    return not (stage.four_bit and sharding in ("zero3", "fsdp2"))


def estimate(stage: Stage, gpus: int, sharding: Sharding) -> dict[str, float]:
    """Return the bytes of PARTS and `total` on each GPU at the peak of a step; the batch of `stage` is one GPU's."""
    shape, tokens = stage.shape, stage.tokens * (1 if stage.half else 2)
    weights, gathered = _weights(stage, gpus, sharding)
    activations = tokens * kept_bytes(stage)
    # A layer's backward pass: gradients, what is recomputed, and 4-bit weights made 16-bit a linear layer at a time.
    layer = HALF * 2 * (shape.intermediate_size + shape.hidden_size) + stage.checkpointing * layer_bytes(stage)
    dequantized = HALF * max(inputs * outputs for inputs, outputs in shape.linears) if stage.four_bit else 0
    working = max(logits_bytes(stage), tokens * layer + dequantized)
    # Liger's plugin leaves the logits of an evaluation whole: in 16 bits, in float32 for the log-softmax, and in
    # float32 as accelerate hands them on. DPO holds less than in training.
    whole = stage.tokens * shape.vocab_size * (HALF + 2 * FULL) if stage.evaluated and stage.kind == "sft" else 0
    evaluation = max(whole - activations - working, 0)
    sizes = [weights, *_states(stage, gpus, sharding), gathered, activations, working, evaluation]
    communication = 0.0 if sharding == "ddp" and gpus == 1 else COMMUNICATION
    sizes.append(CONTEXT + communication + FRAGMENTATION * sum(sizes))
    # In whole bytes: the digits after them come from the order of the sum, and would tell equals apart.
    return {**dict(zip(PARTS, sizes, strict=True)), "total": float(round(sum(sizes)))}


def _weights(stage: Stage, gpus: int, sharding: Sharding) -> tuple[float, float]:
    """Return the bytes of the weights that are not trained, and of those gathered from other GPUs."""
    shape, width = stage.shape, HALF if stage.half else FULL
    linear = (NF4 if stage.four_bit else width) * shape.linear_parameters
    total = linear + float(width * (shape.parameters - shape.linear_parameters)) if stage.rank else 0.0
    if sharding == "zero3":
        # DeepSpeed's `stage3_max_live_parameters`.
        return total / gpus, float(width * min(shape.parameters, 1_000_000_000))
    if sharding == "fsdp2":
        layer = shape.linear_parameters // shape.layers + 2 * shape.hidden_size
        return total / gpus, float(width * (2 * layer + shape.embedding_parameters))
    return total, 0.0


def _states(stage: Stage, gpus: int, sharding: Sharding) -> tuple[float, float, float]:
    """Return the bytes of what is trained, its gradients, and Adam's two moments with any float32 copy.

    PEFT keeps adapters in float32, and DDP a second set of gradients to send. DeepSpeed keeps a 16-bit copy of them,
    and the float32 ones with the optimizer's. Weights that are trained themselves stay in the stage's precision.
    """
    count, half = stage.trainable, HALF if stage.half else FULL
    if sharding in ("zero1", "zero2", "zero3"):
        weights = half * count / (gpus if sharding == "zero3" else 1)
        gradients = half * count / (gpus if sharding != "zero1" else 1)
        return weights, gradients, 3 * FULL * count / gpus
    width = half if stage.rank is None else FULL
    weights = width * count / (gpus if sharding == "fsdp2" else 1)
    return weights, weights * (2 if sharding == "ddp" and gpus > 1 else 1), 2 * weights


def kept_bytes(stage: Stage) -> int:
    """Return what the model keeps for each token between the passes; with checkpointing each layer's input alone."""
    return stage.shape.layers * (HALF * stage.shape.hidden_size if stage.checkpointing else layer_bytes(stage))


def layer_bytes(stage: Stage) -> int:
    """Return what one decoder layer keeps for each token."""
    shape = stage.shape
    # The inputs of its norms, which the model's own makes float32.
    norms = shape.normed_width * (HALF if stage.fused_norm else FULL)
    # Query, key, value and output, and a float32 normalizer for each head.
    key = shape.kv_width if stage.grouped_attention else shape.query_width
    attention = HALF * (2 * shape.query_width + 2 * key) + FULL * shape.heads
    return norms + attention + _linear_bytes(stage)


def _linear_bytes(stage: Stage) -> int:
    """Inputs of the linear layers, one a group with LoRA kernels, else one for each adapter; dropout adds to them."""
    shape, inner = stage.shape, HALF * stage.shape.intermediate_size
    # Gate and up; the model's own keeps the activated gate too, and the product where an adapter does not.
    glu = (2 if stage.fused_glu else 3) * inner
    if stage.rank is None:
        return HALF * 2 * shape.hidden_size + glu + inner
    if stage.lora_kernels:
        dropped = 2 * shape.hidden_size + shape.query_width if stage.dropout else 0
        return HALF * (2 * shape.hidden_size + dropped) + 2 * inner
    inputs = sum(inputs for inputs, _ in shape.linears)
    return HALF * (inputs + stage.rank * len(shape.linears)) + (inputs if stage.dropout else 0) + glu


def logits_bytes(stage: Stage) -> int:
    """Return what the loss of a whole batch holds at most."""
    vocabulary, hidden = stage.shape.vocab_size, stage.shape.hidden_size
    if stage.kind != "sft":
        # float32: the logits, and gradients from the chosen token, the normalizer and the shift by one.
        return stage.tokens * vocabulary * 4 * FULL
    if stage.fused_loss:
        # Liger holds the logits of so many tokens at a time that they take no more than the hidden states do.
        chunk = 1 << (ceil(stage.tokens / ceil(vocabulary / hidden)) - 1).bit_length()
        return chunk * vocabulary * HALF + stage.tokens * hidden * HALF
    # float32: the log-softmax, its gradient and that of the logits.
    return stage.tokens * vocabulary * 3 * FULL


def advise(stage: Stage, gpus: int, sharding: Sharding, limit_gib: float) -> list[tuple[str, float]]:
    """Return changes, each with the GiB needed after it, cheapest first, up to the first that fits into the limit."""
    total, advice = estimate(stage, gpus, sharding)["total"] / GIB, []
    for change, update in _changes(stage, sharding):
        over = update.pop("sharding", sharding)
        changed = stage.model_copy(update=update)
        if total > limit_gib and can_estimate(changed, over):
            lower = estimate(changed, gpus, over)["total"] / GIB
            if lower < total:
                stage, sharding, total = changed, over, lower
                advice.append((change, total))
    return advice


def _changes(stage: Stage, sharding: Sharding) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each change, as it is to be made and as it changes a stage or the sharding."""
    yield "liger_fused_linear_cross_entropy: true, with axolotl's LigerPlugin", {"fused_loss": True}
    yield "gradient_checkpointing: true, for a second forward pass", {"checkpointing": True}
    size = stage.batch.size
    for micro in range(stage.batch.micro_batch_size - 1, 0, -1):
        if size % micro == 0:
            change = f"micro_batch_size: {micro}, gradient_accumulation_steps: {size // micro} on each GPU"
            yield change, {"batch": Batch(micro, size // micro)}
    yield "SHARDING=fsdp2, which spreads the weights", {"sharding": "fsdp2"}
    if sharding == "ddp":
        yield "adapter: qlora, load_in_4bit: true", {"four_bit": True}
    length = stage.sequence_len
    while length > 1024:
        length //= 2
        yield f"sequence_len: {length}; the guard counts rows that no longer fit", {"sequence_len": length}
