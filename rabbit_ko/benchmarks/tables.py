"""Measurements as Markdown tables, ratios first."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from rabbit_ko.benchmarks.contenders import GATES, INSTALL, PLAIN, Contender, Corpus
from rabbit_ko.benchmarks.measure import Measured

DASH = "-"
LEGEND = (
    f"`{PLAIN}` is this project's build with its quality gates off. `{GATES}` has those that are on by default and "
    "an evaluation set to decontaminate from; convmerge's steps together do the same. Of variants, the fastest is "
    "bold. A step's rows/s are rows of the whole corpus."
)
HEADINGS = (
    "",
    f"`{PLAIN}` against it",
    f"`{GATES}` against it",
    "rows/s",
    "fastest and slowest",
    "peak memory",
    "rows out",
)


@dataclass
class Result:
    """What one contender took on one corpus: its steps, round by round; no rounds where it did not run."""

    contender: Contender
    rounds: list[dict[str, Measured]] = field(default_factory=list)
    rows_out: int = 0

    @property
    def seconds(self) -> list[float]:
        return [sum(step.seconds for step in steps.values()) for steps in self.rounds]

    @property
    def peak_bytes(self) -> int:
        return max(step.peak_bytes for steps in self.rounds for step in steps.values())


def corpus_table(corpus: Corpus, results: Sequence[Result]) -> str:
    """Compare the contenders on one corpus."""
    builds = {result.contender.name: result for result in results}
    lines = []
    for result in results:
        name = f"**{result.contender.label}**" if _is_fastest(result, results) else result.contender.label
        ratios = [_ratio(builds.get(build), result) for build in (PLAIN, GATES)]
        if result.rounds:
            peak, left = _megabytes(result.peak_bytes), f"{result.rows_out:,}"
            lines.append([name, *ratios, *_speeds(corpus.rows, result.seconds), peak, left])
            lines += _step_lines(corpus, result)
        else:
            lines.append([name, *ratios, _why_not(result.contender), DASH, DASH, DASH])
    return markdown(HEADINGS, lines)


def scaling_table(small: Corpus, large: Corpus, before: Sequence[Result], after: Sequence[Result]) -> str:
    """Show how time and memory grow with rows, for those that ran on both corpora; an exponent of 1 is linear."""
    lines = []
    for first, second in zip(before, after, strict=True):
        if first.rounds and second.rounds:
            times = median(second.seconds) / median(first.seconds)
            exponent = math.log(times) / math.log(large.rows / small.rows)
            peaks = _megabytes(first.peak_bytes), _megabytes(second.peak_bytes)
            lines.append([first.contender.label, f"{exponent:.2f}", *peaks])
    peaks_at = (f"peak memory at {corpus.rows:,}" for corpus in (small, large))
    return markdown(("", "exponent of time in rows", *peaks_at), lines)


def _is_fastest(result: Result, results: Sequence[Result]) -> bool:
    variants = [other for other in results if other.contender.name == result.contender.name and other.rounds]
    return len(variants) > 1 and result is min(variants, key=lambda other: median(other.seconds))


def _ratio(build: Result | None, other: Result) -> str:
    if not build or not build.rounds or not other.rounds:
        return DASH
    return f"{median(theirs / ours for theirs, ours in zip(other.seconds, build.seconds, strict=True)):.2f}"


def _speeds(rows: int, seconds: Sequence[float]) -> list[str]:
    speeds = [rows / time for time in seconds]
    return [f"{median(speeds):,.0f}", f"{max(speeds):,.0f} to {min(speeds):,.0f}"]


def _step_lines(corpus: Corpus, result: Result) -> Iterable[list[str]]:
    """Show each step of a chain, in rows of the corpus a second."""
    names = list(result.rounds[0])
    for name in names if len(names) > 1 else ():
        steps = [steps[name] for steps in result.rounds]
        speeds = _speeds(corpus.rows, [step.seconds for step in steps])
        yield [f"… `{name}`", DASH, DASH, *speeds, _megabytes(max(step.peak_bytes for step in steps)), DASH]


def _why_not(contender: Contender) -> str:
    return f"`{INSTALL}`" if contender.missing else f"not run beyond {contender.most_rows:,} rows"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def markdown(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Lay out a table: the first column to the left, the others to the right."""
    rule = "| --- |" + " ---: |" * (len(headings) - 1)
    return "\n".join([_line(headings), rule, *map(_line, lines)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")
