"""A base of random weights in a model's true shape, or in a small one, with a tokenizer; nothing is downloaded.

    python -m rabbit_ko.benchmarks.random_base axolotl_configs/aog-8b/sft.yaml runs/bench/train/base --small

The speed of training does not depend on what the weights are, only on their shape and kind.
"""

import json
import runpy
import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerBase

from rabbit_ko.planning.shape import SHAPES
from rabbit_ko.planning.stage import read_stage
from rabbit_ko.recipes import read_config

SEED = 0
# The same architecture, small enough for some steps on a CPU; the vocabulary is then the tokenizer's.
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
SMOKE = Path(__file__).parents[2] / "axolotl_configs" / "smoke" / "make_base_model.py"


def make_base(
    stage: Annotated[Path, typer.Argument(help="a stage's YAML, whose base_model and special tokens count")],
    folder: Annotated[Path, typer.Argument(help="where the model goes")],
    small: Annotated[bool, typer.Option("--small", help="of a small shape, in float32")] = False,
) -> None:
    """Write a model and a tokenizer; the folder appears when both are written."""
    config = read_config(stage)
    tokenizer = make_tokenizer(config, small)
    shape = json.loads((SHAPES / f"{read_stage(stage).shape.name}.json").read_text(encoding="utf-8"))
    new = folder.with_name(f".{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    tokenizer.save_pretrained(new)
    make_model(_with_tokens(shape, tokenizer, small), torch.float32 if small else torch.bfloat16).save_pretrained(new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def make_tokenizer(config: dict[str, Any], small: bool) -> PreTrainedTokenizerBase:
    """Return the base's tokenizer where it is at hand without the network, else the smoke recipe's.

    It knows the special tokens that the stage names, so that axolotl has none to add.
    """
    try:
        if small:
            raise OSError("a small shape has a small vocabulary")
        tokenizer = AutoTokenizer.from_pretrained(config["base_model"], local_files_only=True)
    except (OSError, ValueError):
        tokenizer = runpy.run_path(str(SMOKE))["make_tokenizer"]()
    tokenizer.add_special_tokens(config.get("special_tokens") or {})
    return tokenizer


def make_model(config: LlamaConfig, dtype: torch.dtype) -> Any:
    """Draw weights from a fixed seed, on the GPU where there is one, since 8 billion take minutes on a CPU."""
    torch.manual_seed(SEED)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def _with_tokens(shape: dict[str, Any], tokenizer: PreTrainedTokenizerBase, small: bool) -> LlamaConfig:
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    changes = {**SMALL, "vocab_size": len(tokenizer)} if small else {}
    return LlamaConfig(**{**shape, **changes, **ids})


if __name__ == "__main__":
    typer.run(make_base)
