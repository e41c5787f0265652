"""The lengths of rows in tokens, as a recipe's stages train them, and how much of a training step is padding."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rabbit_ko.errors import UserError
from rabbit_ko.inspection.inspect_stage import load_stage
from rabbit_ko.inspection.pages import Array
from rabbit_ko.recipes import Recipe, read_config

if TYPE_CHECKING:
    from axolotl_plugins.stage_rows import TokenizedRow
    from rabbit_ko.inspection.token_pieces import SplitSummary

BATCH = 1_000


@dataclass(frozen=True)
class StageTokens:
    """What a stage makes of rows, by split.

    note: says where the tokenizer is not the one that the config names. elsewhere: the folders that the stage reads
    and that are not counted here.
    """

    config: Path
    cfg: Any
    tokenizer: Any
    note: str
    elsewhere: list[str]
    splits: dict[str, "SplitSummary"]


@dataclass(frozen=True)
class Packing:
    """The share of positions that hold a token, in [0, 1], with `sample_packing` and in padded batches without it.

    packed: None where the rows do not fill one batch of sequences of `capacity` tokens, `rows_per_sequence` rows each.
    """

    capacity: int
    packed: float | None
    rows_per_sequence: float
    padded: float


def count_tokens(
    recipe: Recipe, stage: str, folder: Path, rows: dict[str, pa.Table], on_rows: Callable[[str, int], None]
) -> StageTokens:
    """Tokenize a folder's rows, given by split, as a recipe's stage trains them.

    `on_rows` is called with what is tokenized and how many rows it was. Raises UserError where the stage cannot be
    loaded, or reads another folder.
    """
    cfg, tokenizer, note = _load(recipe, stage)
    from axolotl_plugins.stage_rows import tokenize_batch
    from rabbit_ko.inspection.token_pieces import summarize

    entries = {"train": cfg.datasets or [], "test": cfg.test_datasets or []}
    paths = {entry.path for found in entries.values() for entry in found}
    here = {path for path in paths if Path(path).resolve() == folder.resolve()}
    if not here:
        raise UserError(
            f"{recipe.config(stage)}: it reads {', '.join(sorted(paths))}, and the page is about {folder}"
        )

    def tokenize(split: str) -> Iterator["TokenizedRow"]:
        for entry in (entry for entry in entries[split] if entry.path in here):
            for batch in rows[split].to_batches(BATCH):
                yield from tokenize_batch(cfg, tokenizer, entry, batch.to_pydict())
                on_rows(f"{folder.name} {split}, tokens", len(batch))

    splits = [split for split in rows if any(entry.path in here for entry in entries.get(split, ()))]
    summaries = {split: summarize(tokenize(split)) for split in sorted(splits, reverse=True)}
    return StageTokens(recipe.config(stage), cfg, tokenizer, note, sorted(paths - here), summaries)


def _load(recipe: Recipe, stage: str) -> tuple[Any, Any, str]:
    """Return a stage's config, tokenizer and a note; until its parent has run, the parent's base stands in."""
    config, parent = recipe.config(stage), recipe.parent(stage)
    try:
        return *load_stage(config), ""
    except UserError as error:
        if not parent:
            raise UserError(f"{error}; ROWS=0 makes the page without tokens") from error
    base = read_config(recipe.config(parent))["base_model"]
    note = f"the tokenizer of {parent.upper()}'s base, since {stage.upper()}'s base is not there yet"
    return *load_stage(config, base_model=base), note


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
        capacity,
        packed,
        sum(sizes) / len(sizes) if sizes else 0.0,
        padded_share(lengths[order], cfg.micro_batch_size),
    )


def padded_share(lengths: Array, batch_size: int) -> float:
    """Return the share of tokens where each batch is padded to its longest row."""
    starts = np.arange(0, len(lengths), batch_size)
    sizes = np.diff([*starts, len(lengths)])
    return float(lengths.sum() / (np.maximum.reduceat(lengths, starts) * sizes).sum())
