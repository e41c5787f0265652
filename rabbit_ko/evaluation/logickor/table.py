"""The figures as the model cards print them: a Markdown table, a row for each category."""

from collections.abc import Sequence

from rich.cells import cell_len

from rabbit_ko.evaluation.logickor.score import TOTAL
from rabbit_ko.evaluation.records import Score

HEADINGS = ("Category", "Questions", "Single turn", "Multi turn", "Overall", "Missing verdicts")


def render(scores: list[Score], of: int) -> str:
    """Return the table. of: how many questions there should be."""
    tasks = dict.fromkeys(score.task for score in scores)
    by_name = {(score.task, score.metric): score for score in scores}
    rows = [_row(task, [by_name[task, metric] for metric in ("single", "multi", "overall")], of) for task in tasks]
    widths = [max(cell_len(row[column]) for row in (HEADINGS, *rows)) for column in range(len(HEADINGS))]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in (HEADINGS, rule, *rows))


def figure(score: Score) -> str:
    """Return a figure with its standard error, or a dash where there is none."""
    if score.value is None:
        return "-"
    return f"{score.value:.2f}" + (f" ± {score.stderr:.2f}" if score.stderr is not None else "")


def _row(task: str, scores: list[Score], of: int) -> list[str]:
    single, multi, _ = scores
    count = str(single.items)
    if task == TOTAL and single.items < of:
        count = f"{single.items} of {of}"
    name = "Total" if task == TOTAL else task
    return [name, count, *(figure(score) for score in scores), str(single.missing + multi.missing)]


def _line(cells: Sequence[str], widths: list[int]) -> str:
    spaces = [" " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)]
    numbers = [space + cell for space, cell in zip(spaces[1:], cells[1:], strict=True)]
    return f"| {' | '.join([cells[0] + spaces[0], *numbers])} |"
