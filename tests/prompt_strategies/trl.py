"""TRL's tokenization of preferences, in the trainers that axolotl runs."""

from pathlib import Path
from typing import Any

from axolotl.core.trainers import AxolotlCPOTrainer, AxolotlKTOTrainer, AxolotlORPOTrainer
from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, KTOConfig
from trl.data_utils import maybe_apply_chat_template, maybe_extract_prompt

from prompt_strategies.sft import IGNORE_INDEX

# More than any row has.
UNBOUND = 1 << 20


def tokenize_with_trl(
    texts: Any, tokenizer: PreTrainedTokenizerBase, folder: Path, processes: int | None = None, rl: str = "dpo"
) -> Any:
    """Tokenize texts as the trainer of a method does, without a model.

    Returns rows with `prompt_ids`, and `chosen_ids` and `rejected_ids`, or in KTO `completion_ids` and `label`.
    """
    if rl in ("orpo", "simpo"):
        return _with_labels(texts, tokenizer, AxolotlORPOTrainer if rl == "orpo" else AxolotlCPOTrainer)
    trainer_class, config_class = (AxolotlKTOTrainer, KTOConfig) if rl == "kto" else (AxolotlDPOTrainer, DPOConfig)
    trainer = trainer_class.__new__(trainer_class)
    trainer._tokenizer, trainer._is_vlm = tokenizer, False
    if rl == "kto":
        trainer.calculate_KL, trainer.desirable_weight, trainer.undesirable_weight = True, 1.0, 1.0
    arguments = config_class(output_dir=str(folder), max_length=None, bf16=False, dataset_num_proc=processes)
    return trainer._prepare_dataset(texts, tokenizer, arguments, "train")


def _with_labels(texts: Any, tokenizer: PreTrainedTokenizerBase, trainer_class: Any) -> Dataset:
    """Tokenize pairs as the trainers do that make labels of them, in the steps of their `__init__`."""
    trainer = trainer_class.__new__(trainer_class)
    trainer.processing_class, trainer.is_encoder_decoder, trainer.max_length = tokenizer, False, UNBOUND
    rows = texts.map(maybe_extract_prompt)
    rows = rows.map(maybe_apply_chat_template, fn_kwargs={"processing_class": tokenizer}).map(trainer.tokenize_row)
    return Dataset.from_list([_split(row) for row in rows])


def _split(row: dict[str, Any]) -> dict[str, list[int]]:
    """Return the ids of a row's prompt and answers, by their labels."""
    split: dict[str, list[int]] = {}
    for side in ("chosen", "rejected"):
        ids, labels = row[f"{side}_input_ids"], row[f"{side}_labels"]
        edge = labels.count(IGNORE_INDEX)
        assert labels == [IGNORE_INDEX] * edge + ids[edge:]
        assert split.setdefault("prompt_ids", ids[:edge]) == ids[:edge]
        split[f"{side}_ids"] = ids[edge:]
    return split
