"""Rows to show: the same ones each time, whatever their order, since each row's draw depends on its id alone."""

import re
from bisect import insort
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa

from dataset_builders.manifest import Manifest
from dataset_builders.rows import RejectedRow
from dataset_builders.sampling import Draws, draw
from rabbit_ko.inspection.report.shards import read_batches

SEED = 0
LONGEST_ID = 500

Row = TypeVar("Row")


def draw_rows(row_ids: pa.StringArray) -> Draws:
    """Return a number for each row; the rows with the lowest ones are shown, and tokenized."""
    return draw(SEED, row_ids)["sample"]


@dataclass
class Sample(Generic[Row]):
    """The `size` rows with the lowest draws under each name."""

    size: int
    rows: dict[str, list[tuple[int, str, Row]]] = field(default_factory=dict)

    def admits(self, name: str, drawn: int) -> bool:
        """Tell whether a row with this draw would be among the lowest so far."""
        chosen = self.rows.get(name, [])
        return len(chosen) < self.size or (bool(chosen) and drawn <= chosen[-1][0])

    def add(self, name: str, drawn: int, key: str, row: Row) -> None:
        """Take a row in, and the highest one out where there are too many; `key` decides between equal draws."""
        chosen = self.rows.setdefault(name, [])
        insort(chosen, (drawn, key, row), key=lambda entry: entry[:2])
        del chosen[self.size :]

    def of(self, name: str) -> list[Row]:
        """Return the rows under a name, the lowest draw first."""
        return [row for _, _, row in self.rows.get(name, [])]


def sample_rejected(data: Path, manifest: Manifest, size: int) -> Sample[RejectedRow]:
    """Choose rejected rows under each reason; raises UserError as `read_batches` does."""
    sample = Sample[RejectedRow](size)
    for _, batch in read_batches(data, manifest, "rejected"):
        draws = draw_rows(batch["id"]).tolist()
        for index, (drawn, reason) in enumerate(zip(draws, batch["reason"].to_pylist(), strict=True)):
            if sample.admits(reason, drawn):
                row = RejectedRow(**batch.slice(index, 1).to_pylist()[0])
                sample.add(reason, drawn, row.evidence + row.row, row)
    return sample


def is_duplicate(reason: str) -> bool:
    """Tell whether the reason is one of those whose evidence starts with the id of the row that was kept."""
    return "duplicate" in reason


def possible_kept_ids(evidence: str) -> list[str]:
    """Return what may be the id at the start of a duplicate's evidence, the longest first; an id may hold a space."""
    start = evidence[:LONGEST_ID]
    starts = {start[: match.start()].rstrip(",:;") for match in re.finditer(r"\s|$", start)}
    return sorted(starts - {""}, key=len, reverse=True)


@dataclass(frozen=True)
class Pair:
    """A rejected duplicate and the row that was kept; `kept` is None where that one is not in the shards."""

    rejected: RejectedRow
    kept: dict[str, Any] | None


def pair(rejected: RejectedRow, found: dict[str, dict[str, Any]]) -> Pair:
    """Find the kept row that the evidence starts with among the rows `found`, which are keyed by id."""
    kept = next((found[key] for key in possible_kept_ids(rejected.evidence) if key in found), None)
    return Pair(rejected, kept)
