"""What became of each source's rows, for the manifest: each row that was read is kept, or dropped for one reason."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from dataset_builders.manifest import SourceSummary
from dataset_builders.pipeline import DoneChunk
from dataset_builders.read.files import Input
from dataset_builders.recipe import SourceConfig
from dataset_builders.sources import SOURCES
from dataset_builders.split import SPLITS, STATUSES, Split
from rabbit_ko.errors import UserError

FLAGS = ("with_system_prompt", "multi_turn", "normalized", "escaped")


def summarize(
    entry: SourceConfig, number: int, found: Input, chunks: Sequence[DoneChunk], split: Split
) -> SourceSummary:
    """Count what became of the rows of the `number`th source. Raises UserError where none is left."""
    is_mine = split.sources == number
    is_kept = is_mine & (split.statuses < len(SPLITS))
    statuses = np.bincount(split.statuses[is_mine], minlength=len(STATUSES)).tolist()
    counts = dict(zip(STATUSES, statuses, strict=True))
    reported = {STATUSES[status]: count for (source, status), count in split.reported.items() if source == number}
    summary = SourceSummary(
        name=entry.label,
        source=entry.source,
        stage=SOURCES[entry.source].rows,
        path=entry.path,
        subset=entry.subset,
        revision=found.revision,
        language=entry.language,
        license=entry.stated_license,
        license_accepted=entry.license_accepted or None,
        input_files=len(found.files),
        input_bytes=sum(size for _, size in found.files),
        input_sha256=found.sha256,
        read=sum(chunk.read for chunk in chunks),
        kept=int(is_kept.sum()),
        splits={name: counts.pop(name) for name in SPLITS if counts[name]},
        rejected=_total([chunk.rejected for chunk in chunks], counts),
        reported=_total([chunk.reported for chunk in chunks], reported),
        **{name: int(split.column(name)[is_kept].sum()) for name in FLAGS},
    )
    if not summary.kept:
        missing = next((chunk.missing for chunk in chunks if chunk.missing), "")
        dropped = f"of {summary.read} rows none is left; dropped: {summary.reasons}"
        raise UserError(f"{entry.path}: {missing or dropped}")
    return summary


def _total(reports: Sequence[dict[str, int]], more: dict[str, int]) -> dict[str, int]:
    counts = Counter(more)
    for report in reports:
        counts.update(report)
    return {reason: count for reason, count in sorted(counts.items()) if count}
