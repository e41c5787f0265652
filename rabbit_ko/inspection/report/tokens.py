"""The lengths of a stage's rows in tokens, through the stage's own strategy and tokenizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dataset_builders.manifest import Manifest
from dataset_builders.rows import SCHEMAS, Stage
from rabbit_ko.errors import UserError, reason
from rabbit_ko.inspection.report.measure import Array
from rabbit_ko.inspection.report.packing import Packing, pack
from rabbit_ko.inspection.report.samples import draw_rows
from rabbit_ko.inspection.report.scan import OnRows, StageScan
from rabbit_ko.inspection.report.shards import read_batches

if TYPE_CHECKING:
    from axolotl_plugins.stage_rows import TokenizedRow as InspectedRow
    from rabbit_ko.inspection.rows.summary import Summary


@dataclass(frozen=True)
class LoadedStage:
    """A stage's config and tokenizer; `note` says where the tokenizer is not the one that the config names."""

    config: Path
    cfg: Any
    tokenizer: Any
    note: str = ""

    @property
    def stage(self) -> Stage:
        return "dpo" if self.cfg.rl else "sft"


@dataclass(frozen=True)
class SplitTokens:
    """One split: how many rows it has, how many of them were tokenized, and what came of these."""

    rows: int
    tokenized: int
    summary: "Summary"

    @property
    def lengths(self) -> Array:
        return np.array(self.summary.lengths, np.int64)


@dataclass(frozen=True)
class StageTokens:
    """What a stage's config makes of its rows; `packing` is that of the train split, and None in DPO.

    `elsewhere` names what the stage trains on beside the data folder, which is not counted.
    """

    loaded: LoadedStage
    elsewhere: list[str]
    splits: dict[str, SplitTokens]
    packing: Packing | None


def load_stages(configs: list[Path]) -> list[LoadedStage]:
    """Load stages as axolotl does. DPO's base may not be there before SFT; then the SFT base's tokenizer stands in.

    Raises UserError where a config is no stage's, is refused by the guard, or its tokenizer cannot be loaded.
    """
    loaded: list[LoadedStage] = []
    for config in sorted(configs, key=lambda path: path.stem == "dpo"):
        try:
            stage = _load(config, loaded[0].cfg.base_model if loaded else None)
        except (SystemExit, OSError, ValueError, KeyError, TypeError) as error:
            said = reason(error).removeprefix(f"{config}: ")
            raise UserError(f"{config}: {said}; without this file the page comes without its tokens") from error
        if any(other.stage == stage.stage for other in loaded):
            raise UserError(f"{config}: a second config of the stage {stage.stage}; name one")
        loaded.append(stage)
    return loaded


def _load(config: Path, stand_in: str | None) -> LoadedStage:
    from rabbit_ko.inspection.rows.__main__ import load_stage

    try:
        return LoadedStage(config, *load_stage(config))
    except SystemExit:
        if stand_in is None:
            raise
    from axolotl.cli.config import load_cfg
    from axolotl.loaders import load_tokenizer

    cfg = load_cfg(str(config), is_preprocess=True, base_model=stand_in)
    return LoadedStage(
        config, cfg, load_tokenizer(cfg), "the tokenizer of SFT's base, since DPO's base is not there yet"
    )


def count_tokens(
    data: Path, manifest: Manifest, scan: StageScan, loaded: LoadedStage, limit: int, on_rows: OnRows
) -> StageTokens:
    """Tokenize at most `limit` rows of each split, those with the lowest draws, and pack what is trained.

    The texts of these rows are held at once. `on_rows` is called with what is tokenized and how many rows it was.
    Raises UserError where the config names another data folder.
    """
    from axolotl_plugins.stage_rows import tokenized_rows
    from rabbit_ko.inspection.rows.summary import summarize

    elsewhere = _leave_out_elsewhere(loaded, data / scan.stage)
    splits = {}
    with _read_instead(_lowest_draws(data, manifest, scan, limit), loaded.cfg) as tokenized:
        for split, count in sorted(tokenized.items(), reverse=True):
            rows = tokenized_rows(loaded.cfg, loaded.tokenizer, split)
            summary = summarize(_watched(rows, f"{scan.stage} {split}, tokens", on_rows))
            splits[split] = SplitTokens(len(scan.draws[split]), count, summary)
    packed = pack(splits["train"].lengths, loaded.cfg) if scan.stage == "sft" and "train" in splits else None
    return StageTokens(loaded, elsewhere, splits, packed)


def _leave_out_elsewhere(loaded: LoadedStage, folder: Path) -> list[str]:
    """Take the dataset entries that read another folder out of the config; return their paths."""
    elsewhere = set()
    for key in ("datasets", "test_datasets"):
        entries = loaded.cfg[key] or []
        here = [entry for entry in entries if Path(entry.path).resolve() == folder.resolve()]
        elsewhere |= {entry.path for entry in entries if entry not in here}
        loaded.cfg[key] = here
    if not loaded.cfg.datasets:
        raise UserError(f"{loaded.config}: it reads {', '.join(sorted(elsewhere))}, and the page is about {folder}")
    return sorted(elsewhere)


def _lowest_draws(data: Path, manifest: Manifest, scan: StageScan, limit: int) -> dict[str, pa.Table]:
    """Read, for each split, the `limit` rows with the lowest draws, in the shards' order."""
    highest = {split: np.sort(draws)[: max(limit, 1)][-1] for split, draws in scan.draws.items()}
    parts: dict[str, list[pa.RecordBatch]] = {split: [] for split in scan.draws}
    for split, batch in read_batches(data, manifest, scan.stage):
        chosen = draw_rows(batch["id"]) <= highest[split]
        parts[split].append(batch.filter(pa.array(chosen)))
    return {split: pa.Table.from_batches(batches, SCHEMAS[scan.stage]) for split, batches in parts.items()}


@contextmanager
def _read_instead(tables: dict[str, pa.Table], cfg: Any) -> Iterator[dict[str, int]]:
    """Let a config's dataset entries read these rows, from a folder that is gone afterwards.

    Yields how many rows there are of each split that the config reads.
    """
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    with TemporaryDirectory(prefix="report-") as scratch:
        for split, table in tables.items():
            Dataset(table).save_to_disk(f"{scratch}/{split}")
        for entry in (*cfg.datasets, *cfg.test_datasets):
            entry.path = f"{scratch}/{entry.split.split('[')[0]}"
        read = {"train": bool(cfg.datasets), "test": bool(cfg.test_datasets)}
        yield {split: len(table) for split, table in tables.items() if read.get(split)}


def _watched(rows: "Iterator[InspectedRow]", name: str, on_rows: OnRows) -> "Iterator[InspectedRow]":
    for row in rows:
        on_rows(name, 1)
        yield row
