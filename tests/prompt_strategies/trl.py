"""TRL's tokenization of preferences, in the trainer that axolotl runs."""

from pathlib import Path
from typing import Any

from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer
from transformers import PreTrainedTokenizerBase
from trl.trainer.dpo_config import DPOConfig


def tokenize_with_trl(
    texts: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, processes: int | None = None
) -> Any:
    """Tokenize `prompt`, `chosen` and `rejected` texts as the trainer does, without a model."""
    trainer = AxolotlDPOTrainer.__new__(AxolotlDPOTrainer)
    trainer._tokenizer = tokenizer
    trainer._is_vlm = False
    arguments = DPOConfig(output_dir=str(folder), max_length=None, bf16=False, dataset_num_proc=processes)
    return trainer._prepare_dataset(texts, tokenizer, arguments, "train")
