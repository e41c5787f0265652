"""What a stage's YAML says about memory and work, with axolotl's defaults where it says nothing."""

from dataclasses import astuple
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, computed_field

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.processes import Batch, configured_batch
from rabbit_ko.errors import UserError, reason
from rabbit_ko.methods import Method, RowKind, method_of
from rabbit_ko.planning.model_shape import ModelShape, load_shape
from rabbit_ko.recipes import RUNS, read_config

# Those that take keys and values as they are, where sdpa repeats them for every query head.
GROUPED_ATTENTION = ("auto", "flash_attention_2", "flash_attention_3", "flash_attention_4", "flex_attention")
# Whatever axolotl takes for a yes, such as `bf16: auto`.
Flag = Annotated[bool, BeforeValidator(bool)]


class Stage(BaseModel, frozen=True, validate_by_name=True, validate_by_alias=True):
    """A stage in the terms of this package.

    data: the folder of the manifest over the shards. prompt: the prompt strategy that reads them. rank: LoRA's, None
    where all weights are trained. half: whether numbers have 16 bits.
    """

    path: Path
    method: Method
    data: Path
    prompt: str
    shape: ModelShape
    base_model: str
    batch: Batch
    rank: int | None
    sequence_len: int = 512
    epochs: float = Field(validation_alias="num_epochs", default=1.0)
    packed: Flag = Field(validation_alias="sample_packing", default=False)
    dropout: Flag = Field(validation_alias="lora_dropout", default=False)
    four_bit: Flag = Field(validation_alias="load_in_4bit", default=False)
    checkpointing: Flag = Field(validation_alias="gradient_checkpointing", default=False)
    fused_norm: Flag = Field(validation_alias="liger_rms_norm", default=False)
    fused_glu: Flag = Field(validation_alias="liger_glu_activation", default=False)
    evaluated: Flag = Field(validation_alias="test_datasets", default=False)
    half: bool
    lora_kernels: bool
    fused_loss: bool
    grouped_attention: bool

    @property
    def recipe(self) -> str:
        return self.path.parent.name

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kind(self) -> RowKind:
        return self.method.rows

    @property
    def sequences_per_row(self) -> int:
        return 2 if self.kind == "dpo" else 1

    @property
    def tokens(self) -> int:
        """Tokens in one batch on one GPU, at most: padded to a row of full length, or packed."""
        return self.batch.micro_batch_size * self.sequences_per_row * self.sequence_len

    @computed_field  # type: ignore[prop-decorator]
    @property
    def parameters(self) -> int:
        return self.shape.parameters

    @computed_field  # type: ignore[prop-decorator]
    @property
    def trainable(self) -> int:
        return self.parameters if self.rank is None else self.shape.lora_parameters(self.rank)


def read_stage(path: Path) -> Stage:
    """Return what a stage's YAML says.

    Raises UserError where it cannot be read, adapts other layers than all linear ones, or its base is not known.
    """
    config = {key: value for key, value in read_config(path).items() if value is not None}
    if config.get("adapter") and not config.get("lora_target_linear"):
        raise UserError(f"{path}: only adapters on all linear layers can be planned (`lora_target_linear: true`)")
    try:
        return Stage.model_validate({**config, **_derived(path, config)})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a stage: {reason(error)[:200]}") from error


def _derived(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a stage that no single key holds."""
    method, rows = method_of(config), config["datasets"][0]
    base = _untrained(path, method, str(config.get("base_model")))
    return {
        "path": path,
        "method": method,
        "data": Path(rows["path"]).parent,
        "prompt": str(rows.get("type")),
        "shape": load_shape(base),
        "base_model": base,
        "batch": Batch(*map(int, astuple(configured_batch(config)))),
        "rank": config.get("lora_r", 8) if config.get("adapter") else None,
        "half": bool(config.get("bf16", True) or config.get("fp16")),
        "lora_kernels": _has_lora_kernels(config),
        "fused_loss": bool(config.get("liger_fused_linear_cross_entropy") or config.get("cut_cross_entropy")),
        "grouped_attention": config.get("attn_implementation") in GROUPED_ATTENTION,
    }


def _untrained(path: Path, method: Method, base: str) -> str:
    """Return a stage's base, or what it is merged from, of the same shape, where it is not merged yet."""
    parent, merged = path.with_name(f"{method.parent}.yaml"), RUNS / path.parent.name / str(method.parent) / "merged"
    if base == str(merged) and not merged.exists() and parent.is_file():
        return str(read_config(parent).get("base_model"))
    return base


def _has_lora_kernels(config: dict[str, Any]) -> bool:
    """Tell whether LoRA kernels are on; where an SFT stage does not mention them, axolotl turns them on by itself."""
    named = [config[kernel] for kernel in LORA_KERNELS if kernel in config]
    return any(named) if named else config.get("adapter") in ("lora", "qlora") and not config.get("rl")
