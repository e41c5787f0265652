"""HTML pages that need no network and no other file: all text is escaped, and histograms are boxes of CSS."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined

Array = npt.NDArray[Any]
Numbers = Array | Sequence[int]


class Bar(NamedTuple):
    """How many rows have a value from `start` to `end`, both included."""

    start: float
    end: float
    rows: int


def render(template: str, folder: Path = Path(__file__).parent, **values: Any) -> str:
    """Return a page from a template of a folder, which may use this one's; the same values give the same bytes."""
    loader = FileSystemLoader([folder, Path(__file__).parent])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": "{:,}".format, "percent": percent, "quantile": quantile}
    environment.filters |= {"bars": bars, "length_bars": length_bars}
    return environment.get_template(template).render(values)


def length_bars(lengths: Numbers) -> list[Bar]:
    """Return bars of one round width; the last one holds all beyond the 99% quantile."""
    usual = quantile(lengths, 0.99)
    widths = (factor * 10**power for power in range(10) for factor in (1, 2, 5))
    width = next(width for width in widths if 30 * width >= usual)
    return bars(lengths, width, usual, quantile(lengths, 1.0))


def bars(values: Numbers, width: int, most: int, largest: int) -> list[Bar]:
    """Return bars of one width from 0 up to the one that `most` falls into, which holds all up to `largest`."""
    last = min(most, largest) // width
    counts = np.bincount(np.minimum(np.asarray(values, np.int64) // width, last), minlength=last + 1).tolist()
    usual = [Bar(start * width, (start + 1) * width - 1, rows) for start, rows in enumerate(counts[:-1])]
    return [*usual, Bar(last * width, largest, counts[-1])]


def value_bars(values: Sequence[float]) -> list[Bar]:
    """Return bars of values that may be below 0 and between numbers: of one round width, at most about 30."""
    if not values:
        return []
    low, high = min(values), max(values)
    widths = (factor * 10.0**power for power in range(-6, 300) for factor in (1, 2, 5))
    width = next(width for width in widths if 30 * width >= high - low)
    places = np.floor(np.asarray(values) / width + 1e-9).astype(np.int64)
    first = int(places.min())
    edges = [float(f"{(first + place) * width:.10g}") for place in range(int(places.max()) - first + 2)]
    counts = np.bincount(places - first, minlength=len(edges) - 1).tolist()
    return [Bar(start, end, rows) for start, end, rows in zip(edges, edges[1:], counts, strict=False)]


def quantile(values: Numbers, share: float) -> int:
    """Return the value that this share of the rows does not exceed; 0 where there are none."""
    return int(np.quantile(values, share, method="inverted_cdf")) if len(values) else 0


def percent(share: float) -> str:
    """Write a share so that neither a few rows look like none nor nearly all like all; a dash where it is NaN."""
    if np.isnan(share):
        return "-"
    if 0 < share < 0.001:
        return "< 0.1%"
    return "> 99.9%" if 0.999 < share < 1 else f"{share:.1%}"
