"""A recipe whose base is a random model of a few thousand weights, and the harness on it without this project."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from rabbit_ko.evaluation.harness.suites import TASKS_FOLDER
from rabbit_ko.evaluation.records import Model
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.recipes import GUARD
from tests.conftest import ROOT

SAMPLES = ROOT / "rabbit_ko/evaluation/samples/hub"
MODEL = Model(path="base", fingerprint="f", backend="hf")
CONFIG = f"plugins: [{GUARD}]\nbase_model: base\ndatasets: [{{path: data/mine/sft, type: prompt_strategies.qir}}]\n"


def make(folder: Path, tokenizer: PreTrainedTokenizerBase) -> Stage:
    """Write the model, its tokenizer and a recipe into a folder, which has to be the working directory then."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=4_096, **sizes, **ids)
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    configs = folder / "axolotl_configs/mine"
    configs.mkdir(parents=True)
    (configs / "data.yaml").touch()
    (configs / "sft.yaml").write_text(CONFIG, encoding="utf-8")
    return Stage("mine", "base", "base")


def stock(folder: Path, tasks: list[str], **options: Any) -> dict[str, Any]:
    """What lm-evaluation-harness says of the model in a folder by its own means, in the folder of samples."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    arguments = {"pretrained": str(folder / "base"), "dtype": "auto", "device": "cpu", "batch_size": "8"}
    manager = TaskManager(include_path=str(TASKS_FOLDER))
    output: dict[str, Any] = simple_evaluate(
        model="hf", model_args=arguments, tasks=tasks, task_manager=manager, **options
    )
    return output
