"""How fast builds shall be, and how much memory they may take, beside what was measured."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from rabbit_ko.benchmarks.report import DASH, markdown_table

# How many times as long others shall take, by ours and theirs; of the variants of theirs, the fastest counts.
AHEAD = (("plain", "datasets.map", 1.0), ("plain", "convmerge convert", 1.0), ("gates", "convmerge all steps", 4.0))
MOST_MEMORY, MOST_EXPONENT = 800e6, 1.05
# By contender the seconds of each round, the most bytes, and the rows that it has left.
Results = dict[str, tuple[list[float], int, int]]


def exponent_of(rows: int, seconds: Sequence[float], fewer: int, before: Sequence[float]) -> float:
    """Return the power of the number of rows with which the median time grows from fewer rows to more."""
    return math.log(median(seconds) / median(before)) / math.log(rows / fewer)


def build_goals(measured: dict[int, Results]) -> str:
    """Set what was reached with each number of rows beside what is wanted; what is missed is named so."""
    lines = []
    for ours, theirs, least in AHEAD:
        reached = [_against(results, ours, theirs) for results in measured.values()]
        shown = [DASH if value is None else _judged(f"{value:.2f}", value > least) for value in reached]
        lines.append([f"`{ours}` against {theirs}", f"more than {least:g}", *shown])
    for ours in [name for name in ("plain", "gates") if all(name in results for results in measured.values())]:
        peaks = [results[ours][1] for results in measured.values()]
        shown = [_judged(f"{peak / 1e6:,.0f} MB", peak <= MOST_MEMORY) for peak in peaks]
        lines.append([f"peak memory of `{ours}`", f"at most {MOST_MEMORY / 1e6:g} MB", *shown])
        times = [(rows, results[ours][0]) for rows, results in measured.items()]
        slopes = [exponent_of(*more, *fewer) for fewer, more in pairwise(times)]
        shown = [DASH, *(_judged(f"{slope:.2f}", slope <= MOST_EXPONENT) for slope in slopes)]
        lines.append([f"exponent of time in rows of `{ours}`", f"at most {MOST_EXPONENT:g}", *shown])
    return markdown_table(("", "goal", *(f"{rows:,} rows" for rows in measured)), lines)


def _judged(shown: str, is_reached: bool) -> str:
    return shown if is_reached else f"{shown}, missed"


def _against(results: Results, ours: str, theirs: str) -> float | None:
    """Return the median of each round's ratio, against the fastest variant that has run."""
    others = [seconds for name, (seconds, *_) in results.items() if name.startswith(theirs) and seconds]
    if not others or not results.get(ours, ([], 0, 0))[0]:
        return None
    return median(one / other for one, other in zip(min(others, key=median), results[ours][0], strict=True))
