"""DPO through axolotl's loader and TRL's own tokenization: the same ids as SFT."""

from dataclasses import asdict
from typing import Any

import pytest
from axolotl.prompt_strategies.dpo import load
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from dataset_builders.rows import Preference, Row
from prompt_strategies import qir
from prompt_strategies.sft import IGNORE_INDEX
from tests.prompt_strategies.test_sft import tokenize
from tests.prompt_strategies.trl import tokenize_with_trl


@pytest.fixture
def preferences(smoke_rows: list[Row]) -> Dataset:
    """The preference rows that the smoke recipe keeps, as its shards hold them."""
    return Dataset.from_list([asdict(row) for row in smoke_rows if isinstance(row, Preference)])


def transform(rows: Any, tokenizer: PreTrainedTokenizerBase, kind: str = "qir_dpo", sequence_len: int = 8192) -> Any:
    """Map rows as axolotl's `_map_dataset` does."""
    function, options = load(
        f"prompt_strategies.{kind}", DictDefault({"sequence_len": sequence_len, "rl": "dpo"}), dataset_idx=0
    )
    batch = function(rows[:], tokenizer=tokenizer)
    assert options == {"batched": True, "remove_columns": "__all__"}
    return Dataset.from_dict(batch)


def test_trl_makes_the_ids_of_sft(tokenizer: PreTrainedTokenizerBase, preferences: Any, tmp_path: Any) -> None:
    tokenized = tokenize_with_trl(transform(preferences, tokenizer), tokenizer, tmp_path)
    assert len(tokenized) == len(preferences) >= 60
    for side in ("chosen", "rejected"):
        conversations = [row["prompt"] + row[side] for row in preferences]
        for (ids, labels), row in zip(tokenize(qir, tokenizer, conversations), tokenized, strict=True):
            prompt = ids[: labels.count(IGNORE_INDEX)]
            assert row["prompt_ids"] == prompt
            assert row[f"{side}_ids"] == ids[len(prompt) :]


def test_pairs_fit_with_bos_and_eos_or_are_dropped(
    tokenizer: PreTrainedTokenizerBase, preferences: Any, tmp_path: Any
) -> None:
    lengths = [
        max(len(row["chosen_ids"]), len(row["rejected_ids"])) + len(row["prompt_ids"])
        for row in tokenize_with_trl(transform(preferences, tokenizer), tokenizer, tmp_path)
    ]
    limit = sorted(lengths)[len(lengths) // 2]
    fitted = tokenize_with_trl(transform(preferences, tokenizer, sequence_len=limit), tokenizer, tmp_path)
    assert sum(length <= limit for length in lengths) <= len(fitted) < len(lengths)
    for row in fitted:
        for side in ("chosen_ids", "rejected_ids"):
            assert len(row["prompt_ids"] + row[side]) <= limit
            assert row[side][-1] == tokenizer.eos_token_id


def test_iir_has_its_own_headings(smoke_tokenizer: PreTrainedTokenizerBase, preferences: Any) -> None:
    texts = transform(preferences, smoke_tokenizer, kind="iir_dpo")
    assert all(text.startswith("### Instruction:\n") for text in texts["prompt"])


def test_pairs_that_are_no_two_answers_to_a_question_are_dropped(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    question, answer = {"role": "user", "content": "질문"}, {"role": "assistant", "content": "답"}
    other = {"role": "assistant", "content": "다른 답"}
    rows = [
        {"prompt": [question], "chosen": [answer], "rejected": [other]},
        {"prompt": [question], "chosen": [question, answer], "rejected": [question, other]},
        {"prompt": [question], "chosen": [question], "rejected": [other]},
        {"prompt": [question], "chosen": [answer], "rejected": [answer]},
        {"prompt": [question], "chosen": [answer], "rejected": []},
        {"prompt": [question, answer], "chosen": [answer], "rejected": [other]},
        {"prompt": [], "chosen": [answer], "rejected": [other]},
    ]
    assert transform(Dataset.from_list(rows), smoke_tokenizer)["chosen"][:] == ["답"]
