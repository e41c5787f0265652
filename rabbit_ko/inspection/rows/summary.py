"""What all rows of a split have in common: lengths, shares of trained tokens, and what is dropped."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from axolotl_plugins.stage_rows import TokenizedRow as InspectedRow

BINS = 32


@dataclass
class SourceShare:
    """One source's rows and tokens."""

    rows: int = 0
    tokens: int = 0
    trained: int = 0

    @property
    def share(self) -> float:
        """Trained tokens as a share of all."""
        return self.trained / self.tokens if self.tokens else 0.0


@dataclass
class Summary:
    """Counts over all rows of a split."""

    lengths: list[int] = field(default_factory=list)
    sources: dict[str, SourceShare] = field(default_factory=dict)
    shortened: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_rows: list[InspectedRow] = field(default_factory=list)

    def histogram(self) -> list[tuple[int, int, int]]:
        """Return (from, to, rows) for bins of equal width, in tokens."""
        width = max(self.lengths, default=0) // BINS + 1
        counts = Counter(length // width for length in self.lengths)
        return [
            (start * width, (start + 1) * width - 1, counts[start]) for start in range(max(counts, default=-1) + 1)
        ]

    def quantile(self, share: float) -> int:
        """Return the length, in tokens, that this share of the rows does not exceed."""
        ordered = sorted(self.lengths)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def summarize(rows: Iterable[InspectedRow]) -> Summary:
    """Go over all rows once."""
    summary = Summary()
    for row in rows:
        if row.dropped:
            summary.dropped[row.dropped.value] += 1
            summary.dropped_rows.append(row)
            continue
        summary.lengths.append(row.length)
        summary.shortened += row.dropped_exchanges > 0
        source = summary.sources.setdefault(row.source, SourceShare())
        source.rows += 1
        source.tokens += row.total
        source.trained += row.trained
    return summary
