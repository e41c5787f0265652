"""The mean over tokens: what it asks of a model, and which rows of an evaluation count."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import BatchSamplerShard
from axolotl.utils.dict import DictDefault
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, SequentialSampler

from axolotl_plugins.guard import Guard
from axolotl_plugins.loss import average_over_batches, average_over_tokens, rows_that_count
from rabbit_ko.errors import UserError


class Fixed(torch.nn.Linear):
    """A model that takes no keywords beside its input."""


class Open(torch.nn.Linear):
    """A model that hands keywords on to its loss."""

    def forward(self, input: torch.Tensor, **_: Any) -> torch.Tensor:
        """Compute as the other one does."""
        return super().forward(input)


def trainer_of(model: torch.nn.Module) -> Any:
    """A trainer as axolotl 0.19 leaves it for Llama with PEFT."""
    args = SimpleNamespace(average_tokens_across_devices=False)
    return SimpleNamespace(model=model, accelerator=Accelerator(cpu=True), args=args, model_accepts_loss_kwargs=False)


def test_a_model_that_takes_the_number_of_tokens_is_given_it_in_all_processes() -> None:
    trainer = trainer_of(Open(1, 1))
    average_over_tokens(trainer)
    assert trainer.model_accepts_loss_kwargs
    assert trainer.args.average_tokens_across_devices


def test_batches_weigh_alike_where_that_is_asked_whatever_axolotl_does_by_itself() -> None:
    trainer = trainer_of(Open(1, 1))
    average_over_tokens(trainer)
    average_over_batches(trainer)
    assert not trainer.model_accepts_loss_kwargs
    assert not trainer.args.average_tokens_across_devices


def test_a_model_that_does_not_is_refused_with_the_key_for_it() -> None:
    with pytest.raises(UserError, match=r"^base_model: Fixed takes no number of tokens to average over"):
        average_over_tokens(trainer_of(Fixed(1, 1)))


@given(rows=st.integers(1, 60), size=st.integers(1, 5), processes=st.integers(2, 4))
def test_each_row_counts_once_where_accelerate_repeats_some(rows: int, size: int, processes: int) -> None:
    counted: list[int] = []
    for process in range(processes):
        batches = BatchSampler(SequentialSampler(range(rows)), size, drop_last=False)
        mine = list(BatchSamplerShard(batches, processes, process, even_batches=True))
        for number, batch in enumerate(mine, start=1):
            remainder = rows % (size * processes)
            count = rows_that_count(len(batch), process, number == len(mine), remainder)
            counted += batch[:count]
    assert sorted(counted) == list(range(rows))


@pytest.mark.parametrize(("packed", "multiple"), [({}, 64), ({"eval_sample_packing": True}, 4096)])
def test_where_training_is_packed_an_evaluation_is_padded_to_its_longest_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: dict[str, Any], multiple: int
) -> None:
    for name in ("average_over_tokens", "evaluate_over_tokens", "keep_order", "check_collator"):
        monkeypatch.setattr(f"axolotl_plugins.guard.{name}", lambda *_: None)
    trainer = SimpleNamespace(eval_data_collator=SimpleNamespace(pad_to_multiple_of=4096))
    options = {"sample_packing": True, "guard_mean_over_tokens": True, "output_dir": str(tmp_path), **packed}
    Guard().post_trainer_create(DictDefault(options), trainer)
    assert trainer.eval_data_collator.pad_to_multiple_of == multiple
