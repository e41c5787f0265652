"""A packed run that is resumed sees the rows that it has not seen, in any epoch and with any number of processes."""

import gc
from collections.abc import Callable, Iterator
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import skip_first_batches
from accelerate.data_loader import prepare_data_loader
from axolotl.core.trainers.base import AxolotlTrainer
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import TrainerState

from axolotl_plugins.resume.packing import keep_order

EPOCHS = 3
Batches = list[list[int]]
LENGTHS = np.random.default_rng(0).integers(10, 400, 300).tolist()
ROWS = Dataset.from_dict({"input_ids": [[0] * length for length in LENGTHS], "length": LENGTHS})


@pytest.fixture(scope="module", autouse=True)
def _few_objects() -> Iterator[None]:
    """Axolotl collects garbage whenever it packs, which takes long among the objects of all modules."""
    gc.freeze()
    yield
    gc.unfreeze()


class Numbers(list[int]):
    """A dataset that gives the numbers of the rows it is asked for."""

    def __getitems__(self, batch: list[list[int]]) -> list[int]:
        return list(chain.from_iterable(batch))


def make_trainer(**changes: Any) -> Any:
    """Axolotl's trainer, without what it has besides its samplers."""
    trainer = AxolotlTrainer.__new__(AxolotlTrainer)
    trainer._train_batch_size = 1
    trainer._batches_per_optimizer_step = lambda: 1
    trainer._data_parallel_size = lambda: 1
    trainer.state = TrainerState()
    arguments = {
        **{"sample_packing": True, "eval_sample_packing": True, "pretraining": False, "curriculum_sampling": False},
        **{"multipack_real_batches": True, "per_device_train_batch_size": 1, "eval_batch_size": 1},
        **{"max_seq_length": 1_000, "sample_packing_efficiency": 1.0, "sample_packing_group_size": 100_000},
        **{"sample_packing_bin_size": 200, "sample_packing_sequentially": False, "dataset_num_proc": 1},
        **{"sample_packing_mp_start_method": None, "seed": 42, "data_seed": None, "num_train_epochs": EPOCHS},
        **{"max_steps": -1, "world_size": 1, "gradient_accumulation_steps": 1},
    }
    trainer.args = SimpleNamespace(**arguments | changes)
    trainer.train_dataset = ROWS
    return trainer


def attempt(
    start: int = 0, skipped: int = 0, rank: int = 0, processes: int = 1, keep: Callable[[Any], None] = keep_order
) -> Iterator[Batches]:
    """The rows of each batch, epoch for epoch, as transformers' training loop takes them after so many batches."""
    torch.seed()  # An attempt has random numbers of its own.
    trainer = make_trainer(world_size=processes)
    keep(trainer)
    loader = prepare_data_loader(
        DataLoader(Numbers(range(len(ROWS))), batch_sampler=trainer._get_train_sampler(), collate_fn=list),
        **{"num_processes": processes, "process_index": rank, "put_on_device": False},
        **{"use_seedable_sampler": True, "even_batches": False},
    )
    for epoch in range(start, EPOCHS):
        trainer.state.epoch = epoch + skipped / len(loader)
        batches = skip_first_batches(loader, skipped) if skipped else loader
        batches.set_epoch(epoch)
        yield list(batches)
        skipped = 0


def rows_of(batches: Batches) -> list[int]:
    return list(chain.from_iterable(batches))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_resumed_run_takes_the_batches_that_are_left(processes: int) -> None:
    for rank in range(processes):
        whole = list(attempt(rank=rank, processes=processes))
        assert len({len(epoch) for epoch in whole}) == 1
        for start, skipped in ((0, 7), (1, 0), (1, 1), (2, len(whole[0]) - 1)):
            left = list(attempt(start, skipped, rank, processes))
            assert left == [whole[start][skipped:], *whole[start + 1 :]]


def test_axolotl_alone_takes_others() -> None:
    whole, left = (list(attempt(1, skipped, keep=lambda trainer: None)) for skipped in (0, 7))
    assert left[0] != whole[0][7:]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_epoch_has_each_row_once_and_packs_of_its_own(processes: int) -> None:
    """Only the last pack of the longer epochs may be dropped."""
    ranks = [list(attempt(rank=rank, processes=processes)) for rank in range(processes)]
    epochs = [rows_of(list(chain(*parts))) for parts in zip(*ranks, strict=True)]
    for rows in epochs:
        assert len(rows) == len(set(rows)) > 0.97 * len(ROWS)
    assert len({tuple(rows) for rows in epochs}) == EPOCHS


@pytest.mark.parametrize("arguments", [{"num_train_epochs": 6}, {"num_train_epochs": 1, "max_steps": 400}])
def test_no_epoch_of_a_run_has_fewer_batches_than_it_is_said_to_have(arguments: dict[str, Any]) -> None:
    trainer = make_trainer(**arguments)
    keep_order(trainer)
    sampler = trainer._get_train_sampler()
    for epoch in range(6):
        trainer.state.epoch = epoch
        assert len(list(sampler)) == len(sampler)


def test_evaluation_keeps_the_order_of_its_dataset() -> None:
    trainer, kept = make_trainer(), make_trainer()
    keep_order(kept)
    assert list(kept._get_eval_sampler(ROWS)) == list(trainer._get_eval_sampler(ROWS))
    assert kept._get_eval_sampler(ROWS).sampler.__class__.__name__ == "SequentialSampler"
