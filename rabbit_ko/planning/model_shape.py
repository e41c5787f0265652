"""The shape of a Llama: how many weights it has and where, from its config alone."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from rabbit_ko.errors import UserError, reason

SHAPES = Path(__file__).parent / "shapes"
# Bases whose weights are on the hub, where some are gated; their shapes are public.
KNOWN = {
    "beomi/Llama-3-Open-Ko-8B": "llama-3-8b",
    "meta-llama/Llama-3.2-3B-Instruct": "llama-3.2-3b",
}


class ModelShape(BaseModel, frozen=True, validate_by_name=True, validate_by_alias=True):
    """The sizes in a model's config; `heads x head_dim` is the width of a query."""

    name: str
    model_type: Literal["llama", "mistral"] = Field(exclude=True)
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
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear layers of one decoder layer, which are what LoRA adapts: name -> (inputs, outputs)."""
        hidden, inner = self.hidden_size, self.intermediate_size
        return {
            "q_proj": (hidden, self.query_width),
            "k_proj": (hidden, self.kv_width),
            "v_proj": (hidden, self.kv_width),
            "o_proj": (self.query_width, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }

    @property
    def linear_parameters(self) -> int:
        """Weights of all linear layers, without the output layer."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def embedding_parameters(self) -> int:
        """Weights of the embedding and, where it has its own, of the output layer."""
        return self.vocab_size * self.hidden_size * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All weights, with two norms a layer and one behind the last."""
        return self.linear_parameters + self.embedding_parameters + (2 * self.layers + 1) * self.hidden_size

    @property
    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with: the linear layers and the output layer, not the embedding."""
        return self.linear_parameters + self.vocab_size * self.hidden_size

    def lora_parameters(self, rank: int) -> int:
        """Weights of adapters of this rank on every linear layer but the output layer (`lora_target_linear`)."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self.linears.values())


def load_shape(base_model: str) -> ModelShape:
    """Return the shape of a recipe's base: one of `shapes/`, or of a folder with a config.json.

    Raises UserError where neither is there, or the model is no Llama.
    """
    if base_model in KNOWN:
        return read_shape(SHAPES / f"{KNOWN[base_model]}.json")
    config = Path(base_model) / "config.json"
    if config.is_file():
        return read_shape(config, name=base_model)
    if base_model.startswith("runs/"):
        recipe = Path(base_model).parts[1]
        raise UserError(f"{base_model}: no config.json there yet; `make sft RECIPE={recipe}` makes it")
    raise UserError(
        f"{base_model}: its shape is not known here; add its config.json to rabbit_ko/planning/shapes and to KNOWN"
    )


def read_shape(path: Path, name: str = "") -> ModelShape:
    """Return the shape in a model's config. Raises UserError where it cannot be read or is no Llama's."""
    try:
        given = {key: value for key, value in json.loads(path.read_text("utf-8")).items() if value is not None}
        return ModelShape.model_validate({**given, "name": name or path.stem})
    except (OSError, ValueError, AttributeError, LookupError) as error:
        raise UserError(
            f"{path}: not the config of a model of the kinds llama, mistral: {reason(error)[:200]}"
        ) from None
