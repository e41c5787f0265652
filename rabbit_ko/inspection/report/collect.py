"""All that the page shows, gathered from a data folder and the stages that train on it."""

from dataclasses import dataclass
from pathlib import Path

from dataset_builders.manifest import Manifest
from dataset_builders.rows import RejectedRow, Stage
from dataset_builders.verify import read_manifest
from rabbit_ko.inspection.report.samples import Pair, Sample, is_duplicate, pair, possible_kept_ids, sample_rejected
from rabbit_ko.inspection.report.scan import OnRows, StageScan, scan_stage
from rabbit_ko.inspection.report.tokens import LoadedStage, StageTokens, count_tokens

STAGES: tuple[Stage, ...] = ("sft", "dpo")


@dataclass(frozen=True)
class StageReport:
    """One stage; `tokens` is None where no config of the stage was given, or it has no rows."""

    scan: StageScan
    tokens: StageTokens | None


@dataclass(frozen=True)
class Report:
    """A data folder; `pairs` is keyed by the reason."""

    data: Path
    manifest: Manifest
    stages: list[StageReport]
    rejected: Sample[RejectedRow]
    pairs: dict[str, list[Pair]]


def collect(data: Path, loaded: list[LoadedStage], limit: int, shown: int, on_rows: OnRows) -> Report:
    """Read a data folder, tokenizing at most `limit` rows of a split, with `shown` rows of each kind as samples.

    `on_rows` is called with what is read and how many rows it was. Raises UserError where the folder is not what its
    manifest says, or a stage reads another one.
    """
    manifest = read_manifest(str(data))
    rejected = sample_rejected(data, manifest, shown)
    duplicates = {reason: rejected.of(reason) for reason in sorted(rejected.rows) if is_duplicate(reason)}
    wanted = {key for rows in duplicates.values() for row in rows for key in possible_kept_ids(row.evidence)}
    scans = [scan_stage(data, manifest, stage, shown, wanted, on_rows) for stage in STAGES]
    configs = {stage.stage: stage for stage in loaded}
    stages = [
        StageReport(scan, count_tokens(data, manifest, scan, configs[scan.stage], limit, on_rows))
        if scan.draws and scan.stage in configs
        else StageReport(scan, None)
        for scan in scans
    ]
    found = {key: row for scan in scans for key, row in scan.found.items()}
    pairs = {reason: [pair(row, found) for row in rows] for reason, rows in duplicates.items()}
    return Report(data, manifest, stages, rejected, pairs)
