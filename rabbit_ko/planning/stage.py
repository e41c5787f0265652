"""What a stage's YAML says about memory and work, with axolotl's defaults, and the shape of its model."""

from dataclasses import astuple
from math import ceil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.processes import Batch, configured_batch
from rabbit_ko.documents import read_object
from rabbit_ko.errors import UserError, reason
from rabbit_ko.methods import ROW_KINDS, Method, RowKind, method_of
from rabbit_ko.recipes import RUNS, read_config
from rabbit_ko.run_record import remedy

SHAPES = Path(__file__).parent / "shapes"
# Bases whose weights are on the hub, where some are gated; their shapes are public.
KNOWN = {
    "beomi/Llama-3-Open-Ko-8B": "llama-3-8b",
    **dict.fromkeys(("meta-llama/Llama-3.2-3B-Instruct", "CarrotAI/Llama-3.2-Rabbit-Ko-3B-Instruct"), "llama-3.2-3b"),
    # The file is Nano's, whose successor has its width and heads, and is taken to have its other sizes.
    **dict.fromkeys(
        ("kakaocorp/kanana-nano-2.1b-instruct", "kakaocorp/kanana-1.5-2.1b-instruct-2505"), "kanana-2.1b"
    ),
    "Qwen/Qwen3-4B": "qwen3-4b",
}

# Whatever axolotl takes for a yes, such as `bf16: auto`.
Flag = Annotated[bool, BeforeValidator(bool)]


class ModelShape(BaseModel, frozen=True, validate_by_name=True, validate_by_alias=True):
    """The sizes in a model's config; `heads x head_dim` is the width of a query."""

    name: str
    model_type: Literal["llama", "mistral", "qwen3"] = Field(exclude=True)
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int = Field(validation_alias="num_hidden_layers")
    heads: int = Field(validation_alias="num_attention_heads")
    kv_heads: int = Field(validation_alias="num_key_value_heads", default_factory=lambda sizes: sizes["heads"])
    head_dim: int = Field(default_factory=lambda sizes: sizes["hidden_size"] // sizes["heads"])
    tied: bool = Field(validation_alias="tie_word_embeddings", default=False)

    @property
    def query_width(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def has_head_norms(self) -> bool:
        """Whether each layer has a norm of its queries and one of its keys, beside the two of all models here."""
        return self.model_type == "qwen3"

    @property
    def normed_width(self) -> int:
        """The width of what a layer's norms read."""
        return 2 * self.hidden_size + (self.query_width + self.kv_width if self.has_head_norms else 0)

    @property
    def linears(self) -> list[tuple[int, int]]:
        """Inputs and outputs of a decoder layer's linear layers, which LoRA adapts: q, k, v, o, gate, up, down."""
        hidden, inner, query, key = self.hidden_size, self.intermediate_size, self.query_width, self.kv_width
        attention = [(hidden, query), (hidden, key), (hidden, key), (query, hidden)]
        return [*attention, (hidden, inner), (hidden, inner), (inner, hidden)]

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear layers, without the output layer."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears)

    @property
    def embedding_parameters(self) -> int:
        """Weights of the embedding and, where it has its own, of the output layer."""
        return self.vocab_size * self.hidden_size * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All weights, with the norms of each layer and one after the last."""
        norms = 2 * self.hidden_size + (2 * self.head_dim if self.has_head_norms else 0)
        return self.linear_parameters + self.embedding_parameters + self.layers * norms + self.hidden_size

    @property
    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with: the linear layers and the output layer, not the embedding."""
        return self.linear_parameters + self.vocab_size * self.hidden_size

    def lora_parameters(self, rank: int) -> int:
        """Weights of adapters of this rank on every linear layer but the output layer (`lora_target_linear`)."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self.linears)


class Stage(BaseModel, frozen=True, validate_by_name=True, validate_by_alias=True):
    """A stage; `data` is the folder of the manifest, `rank` None where all weights are trained, `half` 16 bits.

    shards: the kind of shards that it reads, which in KTO can be those of pairs; None for that of its method.
    reference_first: DPO's reference reads each row once before training, and not again in each evaluation.
    """

    path: Path
    method: Method
    data: Path
    shards: RowKind | None = None
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
    evals_per_epoch: int | None = None
    eval_steps: float | None = None
    eval_strategy: str | bool | None = None
    logging_steps: float = 10
    eval_batch_size: int | None = None
    eval_packed: Flag = Field(validation_alias="eval_sample_packing", default=False)
    reference_first: Flag = Field(validation_alias="precompute_ref_log_probs", default=False)
    half: Flag
    lora_kernels: Flag
    fused_loss: Flag
    grouped_attention: bool

    @property
    def recipe(self) -> str:
        return self.path.parent.name

    @property
    def kind(self) -> RowKind:
        return self.method.rows

    @property
    def read(self) -> RowKind:
        return self.shards or self.kind

    @property
    def sequences_per_row(self) -> int:
        return 2 if self.kind == "dpo" else 1

    @property
    def untrained_passes(self) -> int:
        """Forward passes of a row beside the trained one: the reference's, and in KTO both models' for its KL."""
        return {"dpo": 1, "ipo": 1, "kto": 3}.get(str(self.method.rl), 0)

    @property
    def tokens(self) -> int:
        """Tokens in one batch on one GPU, at most: padded to a row of full length, or packed."""
        return self.batch.micro_batch_size * self.sequences_per_row * self.sequence_len

    def evaluations(self, steps: int) -> int:
        """Return how often a run of so many steps evaluates: before the first, at each interval, and at its end."""
        if not self.evaluated:
            return 0
        # As axolotl and transformers read these keys; axolotl takes an interval of the whole run for none.
        interval = self.eval_steps or (self.logging_steps if self.eval_strategy == "steps" else None)
        if self.evals_per_epoch and self.evals_per_epoch * self.epochs > 1:
            interval = 1 / (self.evals_per_epoch * self.epochs)
        if interval:
            return 1 + ceil(steps / (ceil(steps * interval) if interval < 1 else interval))
        return 1 + ceil(self.epochs) if self.eval_strategy == "epoch" else int(bool(self.eval_strategy))

    @property
    def trainable(self) -> int:
        return self.shape.parameters if self.rank is None else self.shape.lora_parameters(self.rank)


def load_shape(base_model: str) -> ModelShape:
    """Return the shape of a recipe's base, from `shapes/` or its folder. Raises UserError where it is not known."""
    path = SHAPES / f"{KNOWN[base_model]}.json" if base_model in KNOWN else Path(base_model) / "config.json"
    if not path.is_file():
        raise UserError(
            f"{base_model}: no config.json there, and its shape is not in rabbit_ko/planning/shapes; "
            "`make sft` makes the base of a recipe that has its own"
        )
    try:
        given = {key: value for key, value in read_object(path, remedy(path.parent)).items() if value is not None}
        return ModelShape.model_validate({**given, "name": KNOWN.get(base_model, base_model)})
    except (ValueError, LookupError) as error:
        known = "not the config of a model of the kinds llama, mistral, qwen3"
        raise UserError(f"{path}: {known}: {reason(error)[:200]}") from None


def read_stage(path: Path) -> Stage:
    """Return what a stage's YAML says. Raises UserError where it cannot be read, or planned."""
    config = {key: value for key, value in read_config(path).items() if value is not None}
    adapter, attention = config.get("adapter"), config.get("attn_implementation")
    if adapter and not config.get("lora_target_linear"):
        raise UserError(f"{path}: only adapters on all linear layers can be planned (`lora_target_linear: true`)")
    kernels = [config[name] for name in LORA_KERNELS if name in config]
    try:
        method, rows = method_of({**config, "axolotl_config_path": path}), config["datasets"][0]
        base = _untrained(path, method, str(config["base_model"]))
        derived = {
            "path": path,
            "method": method,
            "data": Path(rows["path"]).parent,
            "shards": name if (name := Path(rows["path"]).name) in ROW_KINDS else None,
            "prompt": rows["type"],
            "shape": load_shape(base),
            "base_model": base,
            "batch": Batch(*map(int, astuple(configured_batch(config)))),
            "rank": config.get("lora_r", 8) if adapter else None,
            "half": config.get("bf16", True) or config.get("fp16"),
            # Where an SFT stage does not mention them, axolotl turns them on by itself.
            "lora_kernels": any(kernels) if kernels else adapter and not method.rl,
            "fused_loss": config.get("liger_fused_linear_cross_entropy") or config.get("cut_cross_entropy"),
            # Keys and values are taken as they are; sdpa repeats them for every query head.
            "grouped_attention": attention in ("auto", "flex_attention") or str(attention).startswith("flash_"),
        }
        return Stage.model_validate({**config, **derived})
    except (UserError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {reason(error)[:300]}") from None


def _untrained(path: Path, method: Method, base: str) -> str:
    """Return a stage's base, or what it is merged from, of the same shape, where it is not merged yet."""
    parent, merged = path.with_name(f"{method.parent}.yaml"), RUNS / path.parent.name / str(method.parent) / "merged"
    if base != str(merged) or merged.exists():
        return base
    config = {**read_config(parent), "axolotl_config_path": parent}
    return _untrained(parent, method_of(config), str(config["base_model"]))
