"""What TRL's KTO makes of the rows around a row, and of how many good and bad ones there are."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset, concatenate_datasets


def compare_with_others(trainer: Any) -> None:
    """Let no row's KL term be of its own answer.

    TRL takes each question with the answer before it in its micro-batch, and of the last micro-batch only one row may
    be left, which would be compared with itself.
    """
    size = trainer.args.per_device_train_batch_size
    for name in ("train_dataset", "eval_dataset"):
        rows = getattr(trainer, name)
        if rows is not None and len(rows) > size and len(rows) % size == 1:
            setattr(trainer, name, _with_other_answer(rows))


def _with_other_answer(rows: Dataset) -> Dataset:
    """Give the last row the answer before its own."""
    end = len(rows) - 1
    last = {**rows[end], "KL_completion_ids": rows[end - 1]["completion_ids"]}
    return concatenate_datasets([rows.select(range(end)), Dataset.from_list([last], features=rows.features)])


def describe_balance(cfg: Any, labels: Sequence[bool]) -> str | None:
    """Return what is to be said of weights that leave one label far behind the other, or None.

    https://arxiv.org/abs/2402.01306 wants the good answers' share to be 1 to 4/3 of the bad ones'; pairs of which one
    answer was dropped come to a little less.
    """
    good = sum(labels)
    bad, weights = len(labels) - good, (cfg.kto_desirable_weight or 1.0, cfg.kto_undesirable_weight or 1.0)
    if not good or not bad:
        return f"kto: all {len(labels):,} answers have the same label"
    ratio = weights[0] * good / (weights[1] * bad)
    if 0.75 <= ratio <= 4 / 3:
        return None
    key, weight = ("kto_desirable_weight", bad / good) if good > bad else ("kto_undesirable_weight", good / bad)
    return (
        f"kto: {good:,} good answers of weight {weights[0]:g} and {bad:,} bad ones of weight {weights[1]:g}; "
        f"`{key}: {weight:.2g}` and 1 for the other would let both count for as much"
    )
