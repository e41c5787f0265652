"""Stages to load as axolotl does."""

import runpy
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml
from axolotl.cli.config import prepare_plugins
from axolotl.integrations.base import PluginManager
from axolotl.utils.config import normalize_config, validate_config
from axolotl.utils.dict import DictDefault
from safetensors.numpy import save_file
from transformers import LlamaConfig, PreTrainedTokenizerBase

from prompt_strategies.native_template import resolve_chat_template

ROOT = Path(__file__).parents[1]

A100 = {"bf16": True, "fp8": False, "tf32": True, "n_gpu": 1, "compute_capability": "sm_80"}
H100 = {**A100, "fp8": True, "compute_capability": "sm_90"}


def load_stage(path: Path, gpu: Mapping[str, Any] = A100, **overrides: Any) -> DictDefault:
    """Load a stage's YAML as axolotl does, up to its validation, as on an A100 or another GPU."""
    cfg = DictDefault(yaml.safe_load(path.read_text(encoding="utf-8")))
    cfg.axolotl_config_path = str(path)
    cfg.update(overrides)
    with patch("axolotl_plugins.guard.check_machine"):
        prepare_plugins(cfg)
    try:
        return validate_config(cfg, capabilities=dict(gpu), env_capabilities={"torch_version": "2.13.0"})
    except Exception:
        PluginManager.get_instance().on_config_validation_error(cfg)
        raise


def load_on_cpu(stage: str, **overrides: Any) -> DictDefault:
    """Load a stage of the smoke recipe for a run."""
    cfg = load_stage(Path("axolotl_configs/smoke") / f"{stage}.yaml", **overrides)
    normalize_config(cfg)
    return cfg


def save_base(folder: Path, tokenizer: PreTrainedTokenizerBase, **config: Any) -> None:
    """Write a tokenizer, a model's config and weights of one number."""
    script = runpy.run_path(str(ROOT / "axolotl_configs/smoke/make_base_model.py"))
    tokenizer.save_pretrained(folder)
    eos = {"eos_token_id": tokenizer.eos_token_id, **config}
    LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=script["CONTEXT"], **eos).save_pretrained(folder)
    put_weights(folder / "model.safetensors")


def in_llama_format(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Return a copy of the smoke tokenizer that speaks Llama-3.2's format, with a fixed date."""
    spoken = deepcopy(tokenizer)
    spoken.eos_token = "<|eot_id|>"
    spoken.chat_template = resolve_chat_template({"chat_template": "llama3_2_vision"}, spoken)
    return spoken


def put_weights(file: Path, value: float = 0.0) -> None:
    """Write a file of weights, of one number."""
    save_file({"weight": np.full(1, value, np.float32)}, file)
