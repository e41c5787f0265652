"""The shape of a Llama: how many weights it has and where, from its config alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rabbit_ko.errors import UserError, reason

SHAPES = Path(__file__).parent / "shapes"
# Bases whose weights are on the hub, where some are gated; their shapes are public.
KNOWN = {
    "beomi/Llama-3-Open-Ko-8B": "llama-3-8b",
    "meta-llama/Llama-3.2-3B-Instruct": "llama-3.2-3b",
}
KINDS = ("llama", "mistral")


@dataclass(frozen=True)
class Shape:
    """Sizes under the names of the model's config; `heads x head_dim` is the width of a query."""

    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool

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
    def layer_parameters(self) -> int:
        return self.linear_parameters // self.layers + 2 * self.hidden_size

    @property
    def matmul_parameters(self) -> int:
        """Weights that every token is multiplied with: the linear layers and the output layer, not the embedding."""
        return self.linear_parameters + self.vocab_size * self.hidden_size

    def lora_parameters(self, rank: int) -> int:
        """Weights of adapters of this rank on every linear layer but the output layer (`lora_target_linear`)."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self.linears.values())


def load_shape(base_model: str) -> Shape:
    """Return the shape of a recipe's base: one of `rabbit_ko/planning/shapes`, or of a folder with a config.json.

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


def read_shape(path: Path, name: str = "") -> Shape:
    """Read a model's config; raises UserError where it cannot be read or is no Llama's."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return _from_config(name or path.stem, config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not the config of a model of the kinds {', '.join(KINDS)}: {reason(error)}"
        ) from error


def _from_config(name: str, config: dict[str, Any]) -> Shape:
    kind = config["model_type"]
    if kind not in KINDS:
        raise ValueError(f"model_type {kind}")
    heads = config["num_attention_heads"]
    return Shape(
        name=name,
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        tied=bool(config.get("tie_word_embeddings")),
    )
