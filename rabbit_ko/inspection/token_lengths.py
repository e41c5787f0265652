"""The lengths of rows in tokens, as a recipe's stages train them, and how much of a training step is padding."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rabbit_ko.errors import UserError
from rabbit_ko.inspection.inspect_stage import load_stage, summarize
from rabbit_ko.inspection.pages import Array
from rabbit_ko.methods import stage_method
from rabbit_ko.recipes import Recipe, read_config


class Packing(NamedTuple):
    """The share of positions that hold a token: packed (None: rows for no batch), and in padded batches."""

    capacity: int
    packed: float | None
    rows_per_sequence: float
    padded: float


def count_tokens(recipe: Recipe, stage: str, rows: dict[str, pa.Table]) -> dict[str, Any]:
    """Tokenize rows by split as a stage trains them; return what the page shows of them. Raises UserError."""
    cfg, tokenizer, note = _load(recipe, stage)
    from axolotl_plugins.checks.rows import tokenize_batch

    kind = stage_method(stage).rows
    folder = (recipe.data / kind).resolve()
    entries = {"train": cfg.datasets or [], "test": cfg.test_datasets or []}

    def tokenize(split: str) -> Iterator[Any]:
        for entry in entries[split]:
            for batch in rows[split].to_batches(1_000) if Path(entry.path).resolve() == folder else ():
                yield from tokenize_batch(cfg, tokenizer, entry, batch.to_pydict())

    counted = {split: summarize(tokenize(split)) for split in entries if split in rows}
    splits = {split: summary for split, summary in counted.items() if summary.lengths or summary.dropped}
    packing = pack(np.array(splits["train"].lengths), cfg) if kind == "sft" and "train" in splits else None
    config = recipe.config(stage).as_posix()
    return {"config": config, "cfg": cfg, "tokenizer": tokenizer, "note": note, "splits": splits, "packing": packing}


def _load(recipe: Recipe, stage: str) -> tuple[Any, Any, str]:
    """Return a stage's config, tokenizer and a note; until its parent has run, the parent's base stands in."""
    config, parent = recipe.config(stage), recipe.parent(stage)
    try:
        return *load_stage(config), ""
    except UserError as error:
        if not parent:
            raise UserError(f"{error}; ROWS=0 makes the page without tokens") from error
    note = f"the tokenizer of {parent.upper()}'s base, since {stage.upper()}'s base is not there yet"
    return *load_stage(config, base_model=read_config(recipe.config(parent))["base_model"]), note


def pack(lengths: Array, cfg: Any) -> Packing | None:
    """Pack rows of these lengths as axolotl does in training, in one random order; None where there are none."""
    if not len(lengths):
        return None
    from axolotl.utils.samplers import MultipackBatchSampler

    order = np.random.default_rng(cfg.seed or 0).permutation(len(lengths))
    # As axolotl's trainer sets them.
    real_batches = not cfg.attn_supports_packing if cfg.multipack_real_batches is None else cfg.multipack_real_batches
    sequences_per_batch = cfg.micro_batch_size if real_batches else 1
    capacity = cfg.sequence_len * cfg.micro_batch_size // sequences_per_batch
    sampler = MultipackBatchSampler(
        order.tolist(),
        lengths=lengths,
        batch_max_len=capacity,
        batch_size=sequences_per_batch,
        group_size=cfg.sample_packing_group_size,
        bin_size=cfg.sample_packing_bin_size,
        sequential=bool(cfg.sample_packing_sequentially),
        drop_last=True,
        num_processes=1,
    )
    sizes = [len(sequence) for batch in sampler.generate_batches(set_stats=True) for sequence in batch]
    starts = np.arange(0, len(lengths), cfg.micro_batch_size)
    padded = (np.maximum.reduceat(lengths[order], starts) * np.diff([*starts, len(lengths)])).sum()
    return Packing(
        capacity,
        sampler.efficiency() if sizes else None,
        sum(sizes) / max(len(sizes), 1),
        float(lengths.sum() / padded),
    )
