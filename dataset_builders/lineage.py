"""What became of each source's rows, for the manifest: each row that was read is kept, or dropped for one reason."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dataset_builders.choose import FATES, SPLITS, Choice, RefinedPart
from dataset_builders.inputs import Input
from dataset_builders.manifest import SourceSummary
from dataset_builders.recipe import DataConfig
from dataset_builders.rows import Stage
from dataset_builders.sources import SOURCES
from rabbit_ko.errors import UserError

FLAGS = ("with_system_prompt", "multi_turn", "normalized", "escaped")


def summarize(
    config: DataConfig,
    inputs: Sequence[Input],
    finished: Sequence[tuple[RefinedPart, dict[str, Any]]],
    choices: dict[Stage, Choice],
) -> list[SourceSummary]:
    """Count what became of each source's rows. Raises UserError where a source leaves none."""
    return [
        _summary(
            config, number, inputs[number], [report for part, report in finished if part.source == number], choices
        )
        for number in range(len(config.sources))
    ]


def _summary(
    config: DataConfig, number: int, found: Input, reports: Sequence[dict[str, Any]], choices: dict[Stage, Choice]
) -> SourceSummary:
    entry = config.sources[number]
    stage = SOURCES[entry.source].stage
    choice = choices[stage]
    mine = choice.sources == number
    fates = np.bincount(choice.fates[mine], minlength=len(FATES)).tolist()
    kept = mine & (choice.fates < len(SPLITS))
    rejected = sum((Counter(report["rejected"]) for report in reports), Counter())
    rejected.update(dict(zip(FATES[len(SPLITS) :], fates[len(SPLITS) :], strict=True)))
    reported = sum((Counter(report["reported"]) for report in reports), Counter())
    reported.update({FATES[fate]: count for (source, fate), count in choice.reported.items() if source == number})
    summary = SourceSummary(
        name=entry.label,
        source=entry.source,
        stage=stage,
        path=entry.path,
        subset=entry.subset,
        revision=found.revision,
        language=entry.language,
        license=entry.stated_license,
        license_accepted=entry.license_accepted or None,
        input_files=len(found.files),
        input_bytes=sum(file.bytes for file in found.files),
        input_sha256=found.sha256,
        read=sum(report["read"] for report in reports),
        kept=int(kept.sum()),
        splits={split: count for split, count in zip(SPLITS, fates, strict=False) if count},
        rejected=_sorted(rejected),
        reported=_sorted(reported),
        **{name: int(choice.column(name)[kept].sum()) for name in FLAGS},
    )
    if not summary.kept:
        missing = next((report["missing"] for report in reports if report["missing"]), "")
        dropped = f"of {summary.read} rows none is left; dropped: {summary.reasons}"
        raise UserError(f"{entry.path}: {missing or dropped}")
    return summary


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {reason: count for reason, count in sorted(counts.items()) if count}
