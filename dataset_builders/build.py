"""A recipe's data from start to end: convert the sources, split by id, write the shards, publish them together."""

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, astuple
from functools import partial
from pathlib import Path

from dataset_builders.config import DataConfig
from dataset_builders.convert import SourceReport, convert_source
from dataset_builders.errors import UserError
from dataset_builders.rows import Folder, RejectedRow, Row, Stage
from dataset_builders.sampling import draw
from dataset_builders.shards import Shard, write_shards

MANIFEST = "manifest.json"
STAGES: tuple[Stage, ...] = ("sft", "dpo")
FOLDERS: tuple[Folder, ...] = (*STAGES, "rejected")


def build(config: DataConfig, out: Path, on_row: Callable[[str], None]) -> list[SourceReport]:
    """Build `out/{sft,dpo,rejected}/*.parquet` and, last, `out/manifest.json`; nothing shows before all is made.

    A folder whose bytes did not change keeps its files untouched. Raises UserError where a source leaves no row.
    """
    reports: list[SourceReport] = []
    rows: dict[Stage, list[Row]] = {stage: [] for stage in STAGES}
    rejected: list[RejectedRow] = []
    for entry in config.sources:
        kept, left_out, report = convert_source(entry, config, partial(on_row, entry.label))
        if not kept:
            raise UserError(f"{entry.path}: of {report.read} rows none is left; left out: {report.reasons}")
        rows[report.stage] += kept
        rejected += left_out
        reports.append(report)

    splits = {stage: split_rows(rows[stage], config.seed, config.test_fraction) for stage in STAGES}
    for report in reports:
        for split, part in splits[report.stage].items():
            report.splits[split] = sum(row.source == report.name for row in part)

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        shards = [
            shard
            for stage in STAGES
            for split, part in splits[stage].items()
            for shard in write_shards(part, Path(scratch), stage, split, config.rows_per_shard)
        ]
        if rejected:
            rejected.sort(key=astuple)
            shards += write_shards(rejected, Path(scratch), "rejected", "train", config.rows_per_shard)
        _write_manifest(Path(scratch), config, reports, shards)
        _publish(Path(scratch), out)
    return reports


def split_rows(rows: list[Row], seed: int, test_fraction: float) -> dict[str, list[Row]]:
    """Split into train and test by id, each in an order keyed by id; neither is left empty where both are wanted."""
    chance = {row.id: draw(seed, "test", row.id) for row in rows}
    ranked = sorted(chance, key=chance.__getitem__)
    test = {row_id for row_id in ranked if chance[row_id] < test_fraction}
    if test_fraction and len(rows) > 1:
        test = (test | {ranked[0]}) - {ranked[-1]}
    shuffled = sorted(rows, key=lambda row: draw(seed, "order", row.id))
    parts = {
        "train": [row for row in shuffled if row.id not in test],
        "test": [row for row in shuffled if row.id in test],
    }
    return {split: part for split, part in parts.items() if part}


def _write_manifest(folder: Path, config: DataConfig, reports: list[SourceReport], shards: list[Shard]) -> None:
    manifest = {
        "schema_version": 1,
        "config": config.model_dump(),
        "sources": [asdict(report) for report in reports],
        "shards": [asdict(shard) for shard in shards],
    }
    text = json.dumps(manifest, ensure_ascii=False, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _publish(scratch: Path, out: Path) -> None:
    """Move what is new into place; the manifest goes first and comes back last, so that it vouches for the rest."""
    out.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        (out / MANIFEST).unlink()
    for folder in FOLDERS:
        new, old = scratch / folder, out / folder
        if _same_files(new, old):
            continue
        if old.exists():
            shutil.rmtree(old)
        if new.exists():
            new.rename(old)
    (scratch / MANIFEST).rename(out / MANIFEST)


def _same_files(left: Path, right: Path) -> bool:
    return _contents(left) == _contents(right)


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*")}
