"""One pass over a stage's rows: their measures by source, their draws by split, and the rows to show."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_builders.manifest import Manifest
from dataset_builders.rows import Stage
from dataset_builders.sampling import Draws
from rabbit_ko.inspection.report.measure import Measures, join, measure
from rabbit_ko.inspection.report.samples import Sample, draw_rows
from rabbit_ko.inspection.report.shards import read_batches

OnRows = Callable[[str, int], None]


@dataclass
class StageScan:
    """A stage's rows. It holds some 20 bytes for each, and the text of those alone that are shown.

    `measures` is keyed by source, `draws` by split, in the shards' order; `found` holds the rows that were asked for.
    """

    stage: Stage
    shown: Sample[dict[str, Any]]
    measures: dict[str, Measures] = field(default_factory=dict)
    draws: dict[str, Draws] = field(default_factory=dict)
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def every(self) -> Measures:
        """The measures of all rows."""
        return join(list(self.measures.values()))


def scan_stage(
    data: Path, manifest: Manifest, stage: Stage, shown: int, wanted: Collection[str], on_rows: OnRows
) -> StageScan:
    """Go over a stage's rows once; `shown` rows a source are kept to show, and those with the ids `wanted`.

    `on_rows` is called with the folder's name and how many rows were read. Raises UserError as `read_batches` does.
    """
    scan = StageScan(stage, Sample(shown))
    measures: dict[str, list[Measures]] = {}
    draws: dict[str, list[Draws]] = {}
    for split, batch in read_batches(data, manifest, stage):
        for source, part in _by_source(batch, measure(batch)).items():
            measures.setdefault(source, []).append(part)
        draws.setdefault(split, []).append(_choose(scan, batch, wanted))
        on_rows(stage, len(batch))
    scan.measures = {source: join(parts) for source, parts in sorted(measures.items())}
    scan.draws = {split: np.concatenate(parts) for split, parts in draws.items()}
    return scan


def _by_source(batch: pa.RecordBatch, rows: Measures) -> dict[str, Measures]:
    encoded = batch["source"].dictionary_encode()
    codes = encoded.indices.to_numpy()
    return {source: rows.where(codes == code) for code, source in enumerate(encoded.dictionary.to_pylist())}


def _choose(scan: StageScan, batch: pa.RecordBatch, wanted: Collection[str]) -> Draws:
    """Keep the rows of a batch that are shown or wanted; return all draws."""
    ids, sources = batch["id"].to_pylist(), batch["source"].to_pylist()
    draws = draw_rows(batch["id"])
    for index, (row_id, source, drawn) in enumerate(zip(ids, sources, draws.tolist(), strict=True)):
        is_shown, is_wanted = scan.shown.admits(source, drawn), row_id in wanted
        if is_shown or is_wanted:
            row = batch.slice(index, 1).to_pylist()[0]
            if is_shown:
                scan.shown.add(source, drawn, row_id, row)
            if is_wanted:
                scan.found[row_id] = row
    return draws
