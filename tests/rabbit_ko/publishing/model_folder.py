"""The small recipe with models that answer, if only nonsense: a random base, an adapter on it, both merged."""

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from axolotl_plugins.checks.base_model import MERGED_ADAPTER, adapter_digest
from tests.rabbit_ko.evaluation.results.result_folder import ENTRY, MODELS
from tests.rabbit_ko.publishing.card_folder import SOURCES, put_data, put_run

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def make_models(tokenizer: PreTrainedTokenizerBase) -> None:
    """Write the recipe into the working directory."""
    configs = Path("axolotl_configs/mine")
    configs.mkdir(parents=True)
    (configs / "data.yaml").touch()
    (configs / "sft.yaml").write_text(f"base_model: {MODELS['base']}\n{ENTRY}")
    torch.manual_seed(0)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=1_024, **SIZES, **ids)
    save(LlamaForCausalLM(config), tokenizer, MODELS["base"])
    base = LlamaForCausalLM.from_pretrained(MODELS["base"])
    adapter = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(base, adapter)
    save(model, tokenizer, MODELS["sft"])
    merged = model.merge_and_unload()
    setattr(merged.config, MERGED_ADAPTER, adapter_digest(MODELS["sft"]))
    save(merged, tokenizer, MODELS["sft"] / "merged")
    put_data(SOURCES)
    put_run("sft", str(MODELS["base"]))


def save(model: Any, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save a model with its tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def answer_nothing(folder: Path) -> None:
    """Make a model whose likeliest token is always its EOS."""
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    model.generation_config.suppress_tokens = [token for token in range(model.config.vocab_size) if token != 1]
    shutil.rmtree(folder / "generation_config.json", ignore_errors=True)
    model.save_pretrained(folder)
