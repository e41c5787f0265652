"""The memory that one GPU needs in training, part by part, how each sharding spreads it, and what makes it less.

States of mixed-precision Adam as in Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion
Parameter Models", 3.1 and 5: ZeRO-1 spreads optimizer states, ZeRO-2 gradients too, ZeRO-3 and FSDP2 weights too.
4-bit weights as in Dettmers et al. 2023, "QLoRA", 3: NormalFloat in blocks of 64, with the scales quantized.
Activations in the manner of Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models",
for frozen weights: a linear layer that is not trained keeps nothing, its LoRA adapter keeps its input. They are bytes
for one token, two a number, as bf16 and fp16 take, unless said otherwise; a test counts what autograd saves.
"""

from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from math import ceil
from typing import Literal, get_args

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
# DeepSpeed keeps gathered weights up to this number of parameters (`stage3_max_live_parameters`).
LIVE_PARAMETERS = 1_000_000_000
# The shortest sequences that are advised.
SHORTEST = 1024


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU.

    gathered: what ZeRO-3 and FSDP2 hold of other GPUs' weights while they use them. working: the larger of the loss
    and a layer's backward pass. evaluation: what a batch takes there beyond `activations` and `working`.
    """

    weights: float
    adapter: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float
    working: float
    evaluation: float
    reserve: float

    @property
    def total(self) -> float:
        """In whole bytes: the digits behind them come from the order of the sum, and would tell equals apart."""
        return float(round(sum(astuple(self))))

    def gib(self) -> dict[str, float]:
        """Return all parts and the total, in GiB."""
        return {name: size / GIB for name, size in {**asdict(self), "total": self.total}.items()}


@dataclass(frozen=True)
class Advice:
    """A change to make after those before it, and the memory that is then needed."""

    change: str
    total_gib: float


def can_estimate(stage: Stage, sharding: Sharding) -> bool:
    """Tell whether there is an estimate; there is none for 4-bit weights that are spread, nor a run to check one."""
    return not (stage.four_bit and sharding in ("zero3", "fsdp2"))


def estimate(stage: Stage, gpus: int, sharding: Sharding) -> Memory:
    """Return the peak of one training step on each GPU; the batch of `stage` is that of one GPU."""
    scale = 1 if stage.half else 2
    weights, gathered = _weights(stage, gpus, sharding)
    states = _states(stage, gpus, sharding)
    activations = scale * stage.tokens * kept_bytes(stage)
    working = max(logits_bytes(stage), scale * stage.tokens * working_bytes(stage) + _dequantized(stage))
    evaluation = max(evaluation_bytes(stage) - activations - working, 0)
    used = weights + sum(states) + gathered + activations + working + evaluation
    communication = 0.0 if sharding == "ddp" and gpus == 1 else COMMUNICATION
    reserve = CONTEXT + communication + FRAGMENTATION * used
    return Memory(weights, *states, gathered, activations, working, evaluation, reserve)


def _weights(stage: Stage, gpus: int, sharding: Sharding) -> tuple[float, float]:
    """Return the bytes of the weights that are not trained, and of those gathered from other GPUs."""
    shape, width = stage.shape, HALF if stage.half else FULL
    total = float(width * shape.parameters)
    if stage.four_bit:
        total = NF4 * shape.linear_parameters + width * (shape.parameters - shape.linear_parameters)
    if stage.rank is None:
        total = 0.0
    if sharding == "zero3":
        return total / gpus, float(width * min(shape.parameters, LIVE_PARAMETERS))
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


def _dequantized(stage: Stage) -> float:
    """4-bit weights are made 16-bit again one linear layer at a time."""
    largest = max(inputs * outputs for inputs, outputs in stage.shape.linears.values())
    return float(HALF * largest) if stage.four_bit else 0.0


def kept_bytes(stage: Stage) -> int:
    """Return what the model keeps for each token between the passes; with checkpointing each layer's input alone."""
    each = HALF * stage.shape.hidden_size if stage.checkpointing else layer_bytes(stage)
    return stage.shape.layers * each


def working_bytes(stage: Stage) -> int:
    """Return what a layer's backward pass holds beside it for each token: gradients, and what is recomputed."""
    gradients = HALF * 2 * (stage.shape.intermediate_size + stage.shape.hidden_size)
    return gradients + (layer_bytes(stage) if stage.checkpointing else 0)


def layer_bytes(stage: Stage) -> int:
    """Return what one decoder layer keeps for each token."""
    shape = stage.shape
    # The inputs of two norms, which the model's own makes float32.
    norms = 2 * shape.hidden_size * (HALF if stage.fused_norm else FULL)
    # Query, key, value and output, and a float32 normalizer for each head.
    key = shape.kv_width if stage.grouped_attention else shape.query_width
    attention = HALF * (2 * shape.query_width + 2 * key) + FULL * shape.heads
    return norms + attention + _linears(stage) + _glu(stage)


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


def logits_bytes(stage: Stage) -> int:
    """Return what the loss of a whole batch holds at most."""
    vocabulary = stage.shape.vocab_size
    if stage.kind != "sft":
        # float32: the logits, and gradients from the chosen token, the normalizer and the shift by one.
        return stage.tokens * vocabulary * 4 * FULL
    if stage.fused_loss:
        # Liger holds the logits of so many tokens at a time that they take no more than the hidden states do.
        chunks = ceil(vocabulary / stage.shape.hidden_size)
        chunk = 1 << (ceil(stage.tokens / chunks) - 1).bit_length()
        return chunk * vocabulary * HALF + stage.tokens * stage.shape.hidden_size * HALF
    # float32: the log-softmax, its gradient and that of the logits.
    return stage.tokens * vocabulary * 3 * FULL


def evaluation_bytes(stage: Stage) -> int:
    """Return what a batch's loss holds in evaluation, where Liger's plugin leaves the logits whole.

    In 16 bits, in float32 for the log-softmax, and in float32 as accelerate hands them on. DPO holds less than in
    training.
    """
    return stage.tokens * stage.shape.vocab_size * (HALF + 2 * FULL) if stage.evaluated and stage.kind == "sft" else 0


def advise(stage: Stage, gpus: int, sharding: Sharding, limit_gib: float) -> list[Advice]:
    """Return changes that lower the memory, cheapest first, up to the first that fits into the limit."""
    total = estimate(stage, gpus, sharding).total / GIB
    steps: list[Advice] = []
    for change, changed, over in _changes(stage, gpus, sharding):
        if total <= limit_gib:
            break
        if (lower := estimate(changed, gpus, over).total / GIB) < total:
            total = lower
            steps.append(Advice(change, total))
    return steps


def _changes(stage: Stage, gpus: int, sharding: Sharding) -> Iterator[tuple[str, Stage, Sharding]]:
    """Yield each change with the stage and sharding that it and those before it make."""
    if stage.kind == "sft" and not stage.fused_loss:
        stage = stage.model_copy(update={"fused_loss": True})
        yield "liger_fused_linear_cross_entropy: true, with axolotl's LigerPlugin", stage, sharding
    if not stage.checkpointing:
        stage = stage.model_copy(update={"checkpointing": True})
        yield "gradient_checkpointing: true, for a second forward pass", stage, sharding
    while (micro := stage.batch.micro_batch_size) > 1:
        micro = max(size for size in range(1, micro) if stage.batch.size % size == 0)
        accumulation = stage.batch.size // micro
        stage = stage.model_copy(update={"batch": Batch(micro, accumulation)})
        yield f"micro_batch_size: {micro}, gradient_accumulation_steps: {accumulation} on each GPU", stage, sharding
    if gpus > 1 and sharding not in ("zero3", "fsdp2") and can_estimate(stage, "fsdp2"):
        sharding = "fsdp2"
        yield "SHARDING=fsdp2, which spreads the weights", stage, sharding
    if stage.rank is not None and not stage.four_bit and sharding == "ddp":
        stage = stage.model_copy(update={"four_bit": True})
        yield "adapter: qlora, load_in_4bit: true", stage, sharding
    while stage.sequence_len > SHORTEST:
        stage = stage.model_copy(update={"sequence_len": stage.sequence_len // 2})
        yield f"sequence_len: {stage.sequence_len}; the guard counts rows that no longer fit", stage, sharding
