"""Bars to draw: how many rows have which value, with the numbers along the axis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rabbit_ko.inspection.report.measure import Array

BINS = 30
WIDTH, HEIGHT = 440, 120
LEFT, GAP, WIDEST = 12, 2, 48
TICKS = 6


@dataclass(frozen=True)
class Bar:
    """A rectangle in the chart's coordinates, the height 0 at its foot, and what it says when pointed at."""

    x: float
    width: float
    height: float
    says: str
    label: str


@dataclass(frozen=True)
class Chart:
    """A bar chart; `tallest` is the number of rows that the highest bar stands for."""

    title: str
    caption: str
    bars: list[Bar]
    tallest: int


def length_chart(title: str, lengths: Array, unit: str) -> Chart:
    """Draw lengths in bins of one round width; the last bar holds all beyond the 99% quantile."""
    if not len(lengths):
        return Chart(title, "No row.", [], 0)
    usual = quantile(lengths, 0.99)
    width = _round_up(usual / BINS)
    last = usual // width
    counts = np.bincount(np.minimum(lengths // width, last), minlength=last + 1)
    longest = int(lengths.max())
    edges = [(start * width, longest if start == last else (start + 1) * width - 1) for start in range(last + 1)]
    says = [f"{start:,} to {end:,} {unit}: {count:,} rows" for (start, end), count in zip(edges, counts, strict=True)]
    labels = [f"{start:,}" for start, _ in edges]
    median, most = (quantile(lengths, share) for share in (0.5, 0.95))
    caption = f"Median {median:,}, 95% up to {most:,}, longest {longest:,} {unit}."
    if longest > (last + 1) * width:
        caption += f" The last bar holds all from {last * width:,} on."
    return _chart(title, caption, counts, says, labels)


def share_chart(title: str, shares: Array, what: str) -> Chart:
    """Draw shares in [0, 1] in twenty bins; NaN stands for a row that has none."""
    known = shares[~np.isnan(shares)]
    if not len(known):
        return Chart(title, "No row.", [], 0)
    counts = np.bincount(np.minimum((known * 20).astype(np.int64), 19), minlength=20)
    says = [f"{start * 5}% to {start * 5 + 5}%: {count:,} rows" for start, count in enumerate(counts)]
    caption = f"Median {np.median(known):.0%}; below a half in {np.mean(known < 0.5):.1%} of the rows."
    if none := len(shares) - len(known):
        caption += f" {none:,} rows have no {what}."
    return _chart(title, caption, counts, says, [f"{start * 5}%" for start in range(20)])


def count_chart(title: str, numbers: Array, unit: str, most: int = 12) -> Chart:
    """Draw how many rows have 1, 2, ... of something; the last bar holds all from `most` on."""
    if not len(numbers):
        return Chart(title, "No row.", [], 0)
    highest = min(int(numbers.max()), most)
    counts = np.bincount(np.minimum(numbers, highest), minlength=highest + 1)[1:]
    labels = [str(number) for number in range(1, highest + 1)]
    if numbers.max() > most:
        labels[-1] += "+"
    says = [f"{label} {unit}: {count:,} rows" for label, count in zip(labels, counts, strict=True)]
    caption = f"More than one in {np.mean(numbers > 1):.1%} of the rows; at most {numbers.max():,}."
    return _chart(title, caption, counts, says, labels)


def quantile(values: Array, share: float) -> int:
    """Return the value that this share of the rows does not exceed; 0 where there are none."""
    return int(np.quantile(values, share, method="inverted_cdf")) if len(values) else 0


def _chart(title: str, caption: str, counts: Array, says: Sequence[str], labels: Sequence[str]) -> Chart:
    tallest = int(counts.max())
    step = (WIDTH - LEFT) / len(counts)
    width = min(step - GAP, WIDEST)
    every = -(-len(counts) // TICKS)
    bars = [
        Bar(
            x=round(LEFT + (index + 0.5) * step - width / 2, 2),
            width=round(width, 2),
            # A single row among millions is still to be seen.
            height=round(max(HEIGHT * count / tallest, 1), 2) if count else 0.0,
            says=says[index],
            label=labels[index] if index % every == 0 else "",
        )
        for index, count in enumerate(counts.tolist())
    ]
    return Chart(title, caption, bars, tallest)


def _round_up(width: float) -> int:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = int(10 ** np.floor(np.log10(max(width, 1))))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= width)
