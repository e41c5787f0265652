"""The lengths of rows in tokens, as a recipe's stages train them, and how much of a training step is padding."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rabbit_ko.errors import UserError
from rabbit_ko.inspection.inspect_stage import load_stage
from rabbit_ko.inspection.pages import Array
from rabbit_ko.inspection.shard_scan import OnRows
from rabbit_ko.inspection.token_pieces import SplitSummary, summarize
from rabbit_ko.methods import METHODS
from rabbit_ko.recipes import Recipe, read_config

BATCH = 1_000


class Packing(NamedTuple):
    """The share of positions that hold a token, in [0, 1], with `sample_packing` and in padded batches without it.

    packed: in sequences of `capacity` tokens and `rows_per_sequence` rows; None where rows do not fill one batch.
    """

    capacity: int
    packed: float | None
    rows_per_sequence: float
    padded: float


@dataclass(frozen=True)
class StageTokens:
    """What a stage makes of rows, by split.

    note: says where the tokenizer is not the one that the config names. elsewhere: the folders that the stage reads
    and that are not counted here. packing: that of the train split; None in preferences, which axolotl does not pack.
    """

    config: Path
    cfg: Any
    tokenizer: Any
    note: str
    elsewhere: list[str]
    splits: dict[str, SplitSummary]
    packing: Packing | None


def count_tokens(recipe: Recipe, stage: str, rows: dict[str, pa.Table], on_rows: OnRows) -> StageTokens:
    """Tokenize rows of the recipe's data, given by split, as a stage trains them.

    `on_rows` is called with what is tokenized and how many rows it was. Raises UserError where the stage cannot be
    loaded, or reads another folder.
    """
    cfg, tokenizer, note = _load(recipe, stage)
    from axolotl_plugins.checks.rows import tokenize_batch

    config, folder = recipe.config(stage), recipe.data / METHODS[stage].rows
    every = {"train": cfg.datasets or [], "test": cfg.test_datasets or []}
    paths = {entry.path for entries in every.values() for entry in entries}
    elsewhere = sorted(path for path in paths if Path(path).resolve() != folder.resolve())
    here = {split: [entry for entry in entries if entry.path not in elsewhere] for split, entries in every.items()}
    if not here["train"]:
        raise UserError(f"{config}: it reads {', '.join(elsewhere)}, and the page is about {folder}")

    def tokenize(split: str) -> Iterator[Any]:
        for entry in here[split]:
            for batch in rows[split].to_batches(BATCH):
                yield from tokenize_batch(cfg, tokenizer, entry, batch.to_pydict())
                on_rows(f"{folder.name} {split}, tokens", len(batch))

    splits = {split: summarize(tokenize(split)) for split in here if here[split] and split in rows}
    packing = pack(np.array(splits["train"].lengths), cfg) if folder.name == "sft" and "train" in splits else None
    return StageTokens(config, cfg, tokenizer, note, elsewhere, splits, packing)


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
    """Pack rows of these lengths, in tokens, as axolotl packs them in training; None where there are no rows.

    The order is one random order, from the stage's seed, as training takes another one in each epoch.
    """
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
    packed = sampler.efficiency() if sizes else None
    return Packing(
        capacity, packed, sum(sizes) / max(len(sizes), 1), padded_share(lengths[order], cfg.micro_batch_size)
    )


def padded_share(lengths: Array, batch_size: int) -> float:
    """Return the share of tokens where each batch is padded to its longest row."""
    starts = np.arange(0, len(lengths), batch_size)
    sizes = np.diff([*starts, len(lengths)])
    return float(lengths.sum() / (np.maximum.reduceat(lengths, starts) * sizes).sum())
