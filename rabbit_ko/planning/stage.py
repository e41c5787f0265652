"""What a stage's YAML says about memory and work, with axolotl's defaults where it says nothing."""

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.processes import Batch, configured_batch
from rabbit_ko.errors import UserError, reason
from rabbit_ko.planning.shape import Shape, load_shape
from rabbit_ko.recipes import read_config

Kind = Literal["sft", "dpo"]
# Those that take keys and values as they are, where sdpa repeats them for every query head.
GROUPED = ("auto", "flash_attention_2", "flash_attention_3", "flash_attention_4", "flex_attention")


@dataclass(frozen=True)
class Stage:
    """A stage in the terms of this package; `rank` is None where all weights are trained.

    `data` is the folder of the manifest over the shards, `prompt` the prompt strategy that reads them.
    """

    path: Path
    kind: Kind
    data: Path
    prompt: str
    shape: Shape
    base_model: str
    batch: Batch
    sequence_len: int
    epochs: float
    packed: bool
    rank: int | None
    dropout: bool
    four_bit: bool
    half: bool
    checkpointing: bool
    lora_kernels: bool
    fused_norm: bool
    fused_glu: bool
    fused_loss: bool
    grouped_attention: bool
    evaluated: bool

    @property
    def sequences(self) -> int:
        """Sequences in one batch on one GPU, at most; a pair of preferences makes two."""
        return self.batch.micro_batch_size * (2 if self.kind == "dpo" else 1)

    @property
    def tokens(self) -> int:
        """Tokens in one batch on one GPU, at most: padded to a row of full length, or packed."""
        return self.sequences * self.sequence_len

    @property
    def trainable(self) -> int:
        return self.shape.parameters if self.rank is None else self.shape.lora_parameters(self.rank)


def read_stage(path: Path) -> Stage:
    """Read a stage's YAML.

    Raises UserError where it cannot be read, adapts other layers than all linear ones, or its base is not known.
    """
    try:
        return _from_config(path, read_config(path))
    except SystemExit as error:
        raise UserError(str(error)) from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a stage: {reason(error)}") from error


def _from_config(path: Path, config: dict[str, Any]) -> Stage:
    adapter = config.get("adapter")
    if adapter and not config.get("lora_target_linear"):
        raise UserError(f"{path}: only adapters on all linear layers can be planned (`lora_target_linear: true`)")
    base, entry = _untrained(path, str(config.get("base_model"))), config["datasets"][0]
    return Stage(
        path=path,
        kind="dpo" if config.get("rl") else "sft",
        data=Path(entry["path"]).parent,
        prompt=str(entry.get("type")),
        shape=load_shape(base),
        base_model=base,
        batch=Batch(*map(int, astuple(configured_batch(config)))),
        sequence_len=int(config.get("sequence_len") or 512),
        epochs=float(config.get("num_epochs") or 1),
        packed=bool(config.get("sample_packing")),
        rank=int(config.get("lora_r") or 8) if adapter else None,
        dropout=bool(config.get("lora_dropout")),
        four_bit=bool(config.get("load_in_4bit")),
        half=bool(config.get("bf16", True)) or bool(config.get("fp16")),
        checkpointing=bool(config.get("gradient_checkpointing")),
        lora_kernels=_has_lora_kernels(config),
        fused_norm=bool(config.get("liger_rms_norm")),
        fused_glu=bool(config.get("liger_glu_activation")),
        fused_loss=bool(config.get("liger_fused_linear_cross_entropy") or config.get("cut_cross_entropy")),
        grouped_attention=config.get("attn_implementation") in GROUPED,
        evaluated=bool(config.get("test_datasets")),
    )


def _untrained(path: Path, base: str) -> str:
    """A merged model that is not there yet has the shape of the base that SFT starts from."""
    sft = path.parent / "sft.yaml"
    if base == f"runs/{path.parent.name}/sft/merged" and not Path(base).exists() and sft.is_file():
        return str(read_config(sft).get("base_model"))
    return base


def _has_lora_kernels(config: dict[str, Any]) -> bool:
    """Axolotl turns them on by itself in SFT where a stage does not mention them."""
    named = [config[kernel] for kernel in LORA_KERNELS if config.get(kernel) is not None]
    return any(named) if named else config.get("adapter") in ("lora", "qlora") and not config.get("rl")
