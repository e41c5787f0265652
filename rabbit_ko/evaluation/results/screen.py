"""The results on a terminal of 80 columns: the figures of each suite, as many stages side by side as have room."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table as Grid

from rabbit_ko.evaluation.records import Score
from rabbit_ko.evaluation.results.report import DOWN, STALE, UP, comparisons, marks, notes, settings_of
from rabbit_ko.evaluation.results.table import Row, Table
from rabbit_ko.terminal import COLUMNS, fitted

# Of the name of a figure, at least; a longer one is folded.
NAME = 18
GAP = 2
LEGEND = (
    f"In brackets: the 95 % interval. ±: the standard error. {UP} and {DOWN}: above and below the stage before "
    f"by more than chance. {STALE}: of an earlier model. A dash: not measured."
)


def as_text(table: Table) -> str:
    """Return the table as lines of 80 columns at most."""
    measured, known = [row for row in table.rows if row.figures], table.measured
    cells = [*known, *(_cell(row, stage) for row in measured for stage in known)]
    width = max(cell_len(line) for cell in cells for line in cell.splitlines())
    parts: list[RenderableType] = []
    for stages in _blocks(known, width):
        for suite, rows in groupby(measured, lambda row: row.suite):
            parts += _suite(suite, list(rows), stages, width)
    return fitted(*parts, LEGEND, "", _list([*comparisons(table), *_gaps(table), *notes(table)]))


def _blocks(stages: Sequence[str], width: int) -> Iterator[Sequence[str]]:
    """Yield so many stages at a time as fit beside the names."""
    fitting = max(1, (COLUMNS - NAME) // (width + GAP))
    for start in range(0, len(stages), fitting):
        yield stages[start : start + fitting]


def _suite(suite: str, rows: list[Row], stages: Sequence[str], width: int) -> Iterator[RenderableType]:
    """Yield a suite's name with how it was measured, its figures and a blank line, where a stage has any."""
    if not any(stage in row.figures for row in rows for stage in stages):
        return
    settings = settings_of(max(rows, key=lambda row: len(row.figures)))
    yield f"{suite}: {settings}" if settings else suite
    grid = Grid(box=None, pad_edge=False, padding=(0, GAP, 0, 0), collapse_padding=True)
    grid.add_column("", overflow="fold", width=COLUMNS - len(stages) * (width + GAP))
    for stage in stages:
        grid.add_column(stage, justify="right", no_wrap=True, width=width)
    for row in rows:
        grid.add_row(_name(row), *(_cell(row, stage) for stage in stages))
    yield from (grid, "")


def _name(row: Row) -> str:
    task = "" if row.task == row.suite else row.task.removeprefix(f"{row.suite}_")
    return f"{task} {row.metric}".strip().replace(",", ", ")


def _cell(row: Row, stage: str) -> str:
    figure = row.figures.get(stage)
    if figure is None:
        return "-"
    missing = f"\n({figure.score.missing} missing)" if figure.score.missing else ""
    return f"{_short(figure.score, row.scale)}{marks(figure)}{missing}"


def _short(score: Score, scale: float) -> str:
    """Write a figure in fewer digits than a file has."""
    digits, fine = (3, 2) if scale == 1 else (2, 1)
    text = "-" if score.value is None else f"{score.value:.{digits}f}"
    if score.low is not None and score.high is not None:
        return f"{text} ({score.low:.{fine}f}-{score.high:.{fine}f})"
    return f"{text} ± {score.stderr:.{digits}f}" if score.value is not None and score.stderr else text


def _gaps(table: Table) -> Iterator[str]:
    if missing := [row.suite for row in table.rows if not row.figures]:
        yield f"Not measured: {', '.join(missing)}"


def _list(lines: Sequence[str]) -> Grid:
    grid = Grid(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    for line in lines:
        grid.add_row("-", line)
    return grid
