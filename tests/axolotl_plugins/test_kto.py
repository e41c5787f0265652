"""What TRL's KTO makes of neighbours and of how many good and bad answers there are."""

from types import SimpleNamespace
from typing import Any

import pytest
from axolotl.utils.dict import DictDefault
from datasets import Dataset

from axolotl_plugins.kto import compare_with_others, describe_balance


def rows(count: int, size: int) -> Dataset:
    """Rows as TRL leaves them: each has the answer before it in its micro-batch, or the last one in that."""
    answers = [[number, 1] for number in range(count)]
    starts = range(0, count, size)
    mixed = [
        ids for start in starts for ids in (answers[start : start + size][-1], *answers[start : start + size - 1])
    ]
    mixed = mixed[:count]
    return Dataset.from_dict({"prompt_ids": [[7]] * count, "completion_ids": answers, "KL_completion_ids": mixed})


@pytest.mark.parametrize(("train", "test", "size"), [(9, 5, 4), (8, 9, 4), (7, 6, 3), (4, 1, 3)])
def test_no_answer_is_compared_with_itself(train: int, test: int, size: int) -> None:
    trainer: Any = SimpleNamespace(
        train_dataset=rows(train, size),
        eval_dataset=rows(test, size),
        args=SimpleNamespace(per_device_train_batch_size=size),
    )
    compare_with_others(trainer)
    for count, found in ((train, trainer.train_dataset), (test, trainer.eval_dataset)):
        before = rows(count, size)
        assert found.features == before.features
        for row, was in zip(found, before, strict=True):
            own = was["KL_completion_ids"] == was["completion_ids"] and count > 1
            assert (row["KL_completion_ids"] != row["completion_ids"]) or count == 1
            assert own or row == was


def test_a_run_without_test_rows_has_none_to_mend() -> None:
    args = SimpleNamespace(per_device_train_batch_size=2)
    compare_with_others(SimpleNamespace(train_dataset=rows(4, 2), eval_dataset=None, args=args))


@pytest.mark.parametrize(
    ("good", "bad", "weights", "said"),
    [
        (64, 64, {}, None),
        (63, 64, {}, None),
        (90, 10, {"kto_undesirable_weight": 9.0}, None),
        (90, 10, {}, "kto: 90 good answers of weight 1 and 10 bad ones of weight 1; `kto_desirable_weight: 0.11`"),
        (10, 40, {}, "kto: 10 good answers of weight 1 and 40 bad ones of weight 1; `kto_undesirable_weight: 0.25`"),
        (5, 0, {}, "kto: all 5 answers have the same label"),
    ],
)
def test_labels_of_which_one_counts_for_little_are_told(
    good: int, bad: int, weights: dict[str, float], said: str | None
) -> None:
    line = describe_balance(DictDefault(weights), [True] * good + [False] * bad)
    assert line is None if said is None else str(line).startswith(said)
