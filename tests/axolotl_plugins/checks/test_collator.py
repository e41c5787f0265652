"""A collator that masks EOS where it stands for padding too is found out, whichever it is."""

from types import SimpleNamespace
from typing import Any

import pytest
from axolotl.utils.collators import DataCollatorForSeq2Seq, V2BatchSamplerDataCollatorForSeq2Seq
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase
from trl.trainer.dpo_trainer import DataCollatorForPreference

from axolotl_plugins.checks.rows import check_collator
from prompt_strategies.sft import IGNORE_INDEX, to_columns
from prompt_strategies.tokens import Example
from rabbit_ko.errors import UserError


@pytest.fixture(params=["<|finetune_right_pad_id|>", "<|end_of_text|>"])
def padded(request: pytest.FixtureRequest, smoke_tokenizer: PreTrainedTokenizerBase) -> Any:
    """The smoke tokenizer with a pad token of its own, and with EOS as its pad token."""
    before = smoke_tokenizer.pad_token
    smoke_tokenizer.pad_token = request.param
    yield smoke_tokenizer
    smoke_tokenizer.pad_token = before


def verdict(tokenizer: PreTrainedTokenizerBase, collator: Any, **options: Any) -> str | None:
    """Check a collator on two rows of different length."""
    eos = tokenizer.eos_token_id
    dataset = Dataset(
        to_columns([Example("", (), [0, 30], ([40, eos],)), Example("", (), [0, 30, 31], ([40, 41, eos],))])
    )
    trainer = SimpleNamespace(train_dataset=dataset, data_collator=collator, processing_class=tokenizer)
    try:
        check_collator(DictDefault(options), trainer)
    except UserError as error:
        return str(error)
    return None


def test_axolotls_collator_keeps_eos_whatever_the_padding(padded: Any) -> None:
    assert verdict(padded, DataCollatorForSeq2Seq(padded, label_pad_token_id=IGNORE_INDEX)) is None


def test_axolotls_packing_collator_keeps_eos_whatever_the_padding(padded: Any) -> None:
    collator = V2BatchSamplerDataCollatorForSeq2Seq(padded, label_pad_token_id=IGNORE_INDEX)
    assert verdict(padded, collator, sample_packing=True) is None


def test_a_collator_that_masks_padding_by_its_id_is_refused_where_that_is_eos(padded: Any) -> None:
    collator = DataCollatorForLanguageModeling(padded, mlm=False)
    line = verdict(padded, lambda rows: collator([{"input_ids": row["input_ids"]} for row in rows]))
    assert (line is None) == (padded.pad_token != padded.eos_token)
    assert line is None or line.startswith("special_tokens: the collator masks EOS in padded batches")


def test_trls_collator_keeps_eos_whatever_the_padding(padded: Any) -> None:
    eos = padded.eos_token_id
    rows = [
        {"prompt_ids": [0, 30], "chosen_ids": [40, eos], "rejected_ids": [41, 42, eos]},
        {"prompt_ids": [0], "chosen_ids": [40, 43, 44, eos], "rejected_ids": [eos]},
    ]
    trainer = SimpleNamespace(
        train_dataset=Dataset.from_list(rows),
        data_collator=DataCollatorForPreference(pad_token_id=padded.pad_token_id),
        processing_class=padded,
    )
    check_collator(DictDefault({"rl": "dpo"}), trainer)
