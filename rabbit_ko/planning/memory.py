"""The memory that one GPU needs in training, part by part, and how each sharding spreads it.

The states of mixed-precision Adam as in Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion
Parameter Models", 3.1 and 5: ZeRO-1 spreads optimizer states, ZeRO-2 gradients too, ZeRO-3 and FSDP2 weights too. The
4-bit weights as in Dettmers et al. 2023, "QLoRA", 3: NormalFloat in blocks of 64, with the scales quantized.
"""

from dataclasses import asdict, astuple, dataclass
from typing import Literal

from rabbit_ko.planning.activations import evaluation_bytes, kept_bytes, logits_bytes, working_bytes
from rabbit_ko.planning.stage import Stage

Sharding = Literal["ddp", "zero1", "zero2", "zero3", "fsdp2"]
SHARDINGS: tuple[Sharding, ...] = ("ddp", "zero1", "zero2", "zero3", "fsdp2")
GIB = 2**30
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8
# Assumed, and said to be: what CUDA and its libraries take, what communication takes, and what the allocator loses.
CONTEXT = 0.8 * GIB
COMMUNICATION = 0.8 * GIB
FRAGMENTATION = 0.05
# DeepSpeed keeps gathered weights up to this number of parameters (`stage3_max_live_parameters`).
LIVE_PARAMETERS = 1_000_000_000


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU.

    `gathered` is what ZeRO-3 and FSDP2 hold of other GPUs' weights while they use them, `evaluation` what a batch
    takes there beyond `activations` and `working`.
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
        """All parts and the total, in GiB."""
        parts = {name: value / GIB for name, value in asdict(self).items()}
        return {**parts, "total": self.total / GIB}


def can_estimate(stage: Stage, sharding: Sharding) -> bool:
    """Tell whether there is an estimate; there is none for 4-bit weights that are spread, nor a run to check one."""
    return not (stage.four_bit and sharding in ("zero3", "fsdp2"))


def estimate(stage: Stage, gpus: int, sharding: Sharding) -> Memory:
    """Estimate the peak of one training step; `working` is the larger of the loss and a layer's backward pass."""
    scale = 1 if stage.half else 2
    frozen, gathered = _weights(stage, gpus, sharding)
    adapter, gradients, optimizer = _states(stage, gpus, sharding)
    activations = scale * stage.tokens * kept_bytes(stage)
    layer = scale * stage.tokens * working_bytes(stage) + _dequantized(stage)
    working = max(logits_bytes(stage), layer)
    evaluation = max(evaluation_bytes(stage) - activations - working, 0)
    used = frozen + adapter + gradients + optimizer + gathered + activations + working + evaluation
    communication = 0.0 if sharding == "ddp" and gpus == 1 else COMMUNICATION
    reserve = CONTEXT + communication + FRAGMENTATION * used
    return Memory(frozen, adapter, gradients, optimizer, gathered, activations, working, evaluation, reserve)


def _weights(stage: Stage, gpus: int, sharding: Sharding) -> tuple[float, float]:
    """Return the bytes of the weights that are not trained, and of those gathered from other GPUs."""
    shape, width = stage.shape, 2 if stage.half else 4
    total = float(width * shape.parameters)
    if stage.four_bit:
        total = NF4 * shape.linear_parameters + width * (shape.parameters - shape.linear_parameters)
    if stage.rank is None:
        total = 0.0
    if sharding == "zero3":
        return total / gpus, float(width * min(shape.parameters, LIVE_PARAMETERS))
    if sharding == "fsdp2":
        return total / gpus, float(width * (2 * shape.layer_parameters + shape.embedding_parameters))
    return total, 0.0


def _states(stage: Stage, gpus: int, sharding: Sharding) -> tuple[float, float, float]:
    """Return the bytes of what is trained, its gradients, and Adam's two moments with any float32 copy.

    PEFT keeps adapters in float32, and DDP a second set of gradients to send. DeepSpeed keeps a 16-bit copy of them,
    and the float32 ones with the optimizer's. Weights that are trained themselves stay in the stage's precision.
    """
    count, width = stage.trainable, 4 if stage.rank is not None or not stage.half else 2
    if sharding in ("zero1", "zero2", "zero3"):
        half = 2 if stage.half else 4
        sharded_gradients, sharded_weights = sharding != "zero1", sharding == "zero3"
        weights = half * count / (gpus if sharded_weights else 1)
        gradients = half * count / (gpus if sharded_gradients else 1)
        return weights, gradients, 12 * count / gpus
    shares = gpus if sharding == "fsdp2" else 1
    buckets = 2 if sharding == "ddp" and gpus > 1 else 1
    return width * count / shares, buckets * width * count / shares, 2 * width * count / shares


def _dequantized(stage: Stage) -> float:
    """4-bit weights are made 16-bit again one linear layer at a time."""
    return 2.0 * max(inputs * outputs for inputs, outputs in stage.shape.linears.values()) if stage.four_bit else 0.0
