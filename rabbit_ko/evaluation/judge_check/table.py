"""The check of a judge on the terminal."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from rabbit_ko.evaluation.judge_check.check import Check


def drawn(check: Check) -> Iterator[Table]:
    """Yield the figures, what they mean, and how many questions a difference takes, as tables."""
    figures = _table("", "figure", "95 % interval", "of")
    group = ""
    for figure in check.figures:
        if figure.group != group:
            figures.add_row(Text(group := figure.group, style="bold"))
        figures.add_row(f"  {figure.name}", *figure.said, figure.of)
    yield figures
    meanings = Table.grid(padding=(0, 1))
    meanings.title, meanings.title_justify, meanings.title_style = f"\n{check.judge}", "left", "bold"
    for reading in check.readings:
        meanings.add_row("!" if reading.warns else "-", reading.text)
    yield meanings
    if check.needed:
        yield _needed(check)


def _needed(check: Check) -> Table:
    times = [f"{verdicts} verdict{'s' if verdicts > 1 else ''}" for verdicts in next(iter(check.needed.values()))]
    table = _table("questions to see a difference", *times)
    for difference, by_verdicts in check.needed.items():
        counts = ("-" if count is None else f"{count:,}" for count in by_verdicts.values())
        table.add_row(f"  of {difference:g} point{'' if difference == 1 else 's'}", *counts)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (first, *others):
        table.add_column(title, justify="left" if title in (first, "of") else "right", no_wrap=True)
    return table
