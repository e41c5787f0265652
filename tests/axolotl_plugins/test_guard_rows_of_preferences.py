"""What the guard sees in the rows of preferences, as each method's own trainer will read them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from axolotl.integrations.base import PluginManager
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl.experimental.utils import DPODataCollatorWithPadding
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

from axolotl_plugins.checks.rows import check_collator, check_rows
from prompt_strategies.preferences import examples, labelled, pairs
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.template import QIR
from prompt_strategies.tokens import Example
from rabbit_ko.errors import UserError
from rabbit_ko.methods import METHODS
from rabbit_ko.recipes import GUARD
from tests.axolotl_plugins.checks.test_collator import padded as padded
from tests.axolotl_plugins.test_guard_rows import load_datasets, refusal
from tests.axolotl_plugins.test_guard_rows import merged as merged
from tests.stages import load_on_cpu

pytestmark = pytest.mark.usefixtures("smoke_recipe")
PREFERRING = [name for name, method in METHODS.items() if method.rl and name != "ipo"]
# The ids of a prompt and of an answer.
Row = tuple[list[int], list[int]]
Fault = Callable[[list[int], list[int]], Row]


class Read:
    """The rows of a stage as its trainer has tokenized them, and that trainer's collator."""

    def __init__(self, stage: str, tokenizer: PreTrainedTokenizerBase, **options: Any) -> None:
        self.cfg, self.tokenizer = load_on_cpu(stage, **options), tokenizer
        batch = pq.read_table("data/smoke/dpo").to_pydict()
        samples, self.labels = labelled(batch) if stage == "kto" else (pairs(batch), [])
        found = examples(samples, tokenizer, QIR, 8192, self.cfg.rl)
        self.rows = [row for row in found if isinstance(row, Example)]
        assert len(self.rows) == len(samples) > 60
        kinds = {"dpo": DataCollatorForPreference, "kto": DataCollatorForUnpairedPreference}
        self.collator = kinds.get(stage, DPODataCollatorWithPadding)(pad_token_id=tokenizer.pad_token_id)

    def dataset(self, fault: Fault = lambda prompt, answer: (prompt, answer), at: int = 40) -> Dataset:
        """Lay rows out as the method's trainer does, one of them with a fault in its last answer."""
        return Dataset.from_list([self._columns(row, fault, number == at) for number, row in enumerate(self.rows)])

    def _columns(self, row: Example, fault: Fault, is_faulty: bool) -> dict[str, Any]:
        sides = [([*row.prompt], [*answer]) for answer in row.answers]
        if is_faulty:
            sides[-1] = fault(*sides[-1])
        if self.cfg.rl == "kto":
            [(prompt, answer)] = sides
            return {"prompt_ids": prompt, "completion_ids": answer, "label": True}
        if self.cfg.rl == "dpo":
            # It has one prompt for both answers, so a mask that moves takes them along.
            return {"prompt_ids": sides[-1][0], "chosen_ids": sides[0][1], "rejected_ids": sides[1][1]}
        columns = {}
        for side, (prompt, answer) in zip(("chosen", "rejected"), sides, strict=True):
            columns[f"{side}_input_ids"] = prompt + answer
            columns[f"{side}_attention_mask"] = [1] * len(prompt + answer)
            columns[f"{side}_labels"] = [IGNORE_INDEX] * len(prompt) + answer
        return columns

    def check(self, dataset: Dataset, everything: bool = True) -> dict[str, int]:
        return check_rows(self.cfg, self.tokenizer, "train", dataset, len(dataset), everything)

    def check_collator(self, collator: Any) -> None:
        """Check a collator on rows of different length."""
        trainer: Any = type(
            "Trainer", (), {"processing_class": self.tokenizer, "data_collator": staticmethod(collator)}
        )
        trainer.train_dataset = self.dataset()
        check_collator(self.cfg, trainer)


@pytest.mark.parametrize("stage", PREFERRING)
def test_rows_as_the_trainer_reads_them_are_checked_and_counted(
    merged: Path, stage: str, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    read = Read(stage, smoke_tokenizer)
    counts = read.check(read.dataset())
    assert counts["examples"] == counts["prepared"] == len(read.rows)
    assert counts["checked"] == sum(len(row.answers) for row in read.rows)
    assert counts["trained"] == sum(len(answer) for row in read.rows for answer in row.answers)


FAULTS: dict[str, tuple[Fault, str]] = {
    "a lost EOS": (lambda prompt, answer: (prompt, answer[:-1]), "the answer does not end with <|end_of_text|>"),
    "a truncated row": (lambda prompt, answer: (prompt, answer[:3]), "the answer does not end with <|end_of_text|>"),
    "two EOS": (lambda prompt, answer: (prompt, [*answer, answer[-1]]), "the control token <|end_of_text|> stands"),
    "a mask into the prompt": (
        lambda prompt, answer: (prompt[:-1], prompt[-1:] + answer),
        "the mask does not end after '### Response:'",
    ),
    "a mask into the answer": (
        lambda prompt, answer: (prompt + answer[:1], answer[1:]),
        "the mask does not end after '### Response:'",
    ),
    "no answer": (lambda prompt, answer: (prompt, []), "the trained tokens are not one span after a masked prompt"),
    "two BOS": (lambda prompt, answer: (prompt[:1] + prompt, answer), "the control token <|begin_of_text|> stands"),
    "no BOS": (lambda prompt, answer: (prompt[1:], answer), "there is no <|begin_of_text|> in front"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("stage", PREFERRING)
def test_a_fault_in_one_answer_stops_the_run(
    merged: Path, stage: str, name: str, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    read, (fault, message) = Read(stage, smoke_tokenizer), FAULTS[name]
    with pytest.raises(UserError, match=r"^train: row ") as error:
        read.check(read.dataset(fault))
    assert message in str(error.value)


@pytest.mark.parametrize("stage", PREFERRING)
def test_a_row_longer_than_sequence_len_stops_the_run(
    merged: Path, stage: str, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    read = Read(stage, smoke_tokenizer, sequence_len=100)
    with pytest.raises(UserError, match="tokens are more than sequence_len 100"):
        read.check(read.dataset())


@pytest.mark.parametrize("stage", PREFERRING)
def test_each_trainers_collator_keeps_eos_whatever_the_padding(merged: Path, stage: str, padded: Any) -> None:
    read = Read(stage, padded)
    read.check_collator(read.collator)


@pytest.mark.parametrize("stage", PREFERRING)
def test_a_collator_that_masks_padding_by_its_id_is_refused_where_that_is_eos(
    merged: Path, stage: str, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    read, eos = Read(stage, smoke_tokenizer), smoke_tokenizer.eos_token_id

    def without_eos(features: list[Any]) -> Any:
        batch = read.collator(features)
        for name in ("chosen_labels", "rejected_labels"):
            if name in batch:
                batch[name][batch[name] == eos] = IGNORE_INDEX
        if "completion_mask" in batch:
            batch["completion_mask"][batch["input_ids"] == eos] = 0
        return batch

    with pytest.raises(UserError, match=r"^special_tokens: the collator masks EOS in padded batches"):
        read.check_collator(without_eos)


@pytest.mark.parametrize("stage", PREFERRING)
def test_truncation_finds_nothing_to_cut_behind_rows_that_fit(merged: Path, stage: str) -> None:
    options = {"sequence_len": 180, "guard_max_dropped": 0.9}
    found = []
    for strategy in ("drop", "truncate", "raise"):
        cfg = load_on_cpu(stage, **options, excess_length_strategy=strategy)
        guard: Any = PluginManager.get_instance().plugins[GUARD]
        found.append(guard.load_datasets(cfg, preprocess=True).train_dataset[:])
        assert 0 < guard.counts["train"]["dropped"] < guard.counts["train"]["examples"]
    assert found[0] == found[1] == found[2]


def test_orpo_starts_from_the_base_without_sft() -> None:
    assert load_on_cpu("orpo").base_model == "runs/smoke/base"
    counts = load_datasets("orpo").counts["train"]
    assert 2 * counts["examples"] == 2 * counts["prepared"] == counts["checked"] > 100


@pytest.mark.parametrize("stage", ["simpo", "kto"])
def test_simpo_and_kto_start_from_the_merged_sft_model_alone(merged: Path, stage: str) -> None:
    counts = load_datasets(stage).counts["train"]
    assert counts["examples"] == counts["prepared"] > 60
    assert counts["checked"] == (2 if stage == "simpo" else 1) * counts["examples"]
    assert "is not a merged SFT model of this project" in refusal(stage, base_model="runs/smoke/base")
    run_file = merged.parent / "run.json"
    run_file.write_text(json.dumps({**json.loads(run_file.read_text()), "config": {"rl": "orpo"}}))
    assert "is not a merged SFT model; run `make merge`" in refusal(stage)


def test_a_pair_is_two_answers_to_count_in_kto_and_one_row_to_drop_each(merged: Path) -> None:
    pairs = sum(pq.read_metadata(file).num_rows for file in Path("data/smoke/dpo").glob("train-*"))
    counts = load_datasets("kto").counts["train"]
    assert (counts["examples"], counts["dropped"]) == (2 * pairs, 0)
    fewer = load_datasets("kto", sequence_len=180, guard_max_dropped=0.9).counts["train"]
    assert fewer["examples"] == fewer["prepared"] + fewer["dropped"] == 2 * pairs
    assert fewer["dropped"] > 0
