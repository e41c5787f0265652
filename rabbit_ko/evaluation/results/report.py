"""The results as files: Markdown to read, CSV to compute with, a chart to look at."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from rabbit_ko.evaluation.results.chart import draw
from rabbit_ko.evaluation.results.compare import LEAST_ITEMS, RESAMPLES, ComparedBy, Reason
from rabbit_ko.evaluation.results.figures import State
from rabbit_ko.evaluation.results.table import DOWN, STALE, UP, Row, Table, by_stage, mark, measured, settings_of
from rabbit_ko.markdown import cell
from rabbit_ko.recipes import Recipe
from rabbit_ko.storage import write

# The columns of a figure, of what it was measured with, and of its comparison with the stage before.
COLUMNS = (
    *("recipe", "stage", "suite", "task", "metric", "value", "stderr", "items", "missing"),
    *("shots", "limit", "template", "backend", "fingerprint", "state"),
    *("compared_with", "method", "difference", "low", "high", "exceeds_chance"),
)
_OUTCOMES = {
    ComparedBy.BOOTSTRAP: f"Compared by a paired bootstrap over the items ({RESAMPLES:,} resamples, 95 % interval)",
    ComparedBy.ERRORS: "Compared by two standard errors of the difference of independent means",
    Reason.SETTINGS: "Not compared, as settings differ",
    Reason.STALE: "Not compared, as a figure is stale",
    Reason.FEW: f"Not compared, as there are fewer than {LEAST_ITEMS} items",
    Reason.NO_ERROR: "Not compared, as there is no standard error",
}


def write_files(table: Table) -> list[Path]:
    """Write the three files, each atomically; return their names. Raises OSError."""
    contents = {
        "results.md": render(table).encode(),
        "results.csv": to_csv(table).encode(),
        "results.png": draw(table),
    }
    files = {Recipe(table.recipe).results / name: content for name, content in contents.items()}
    for file, content in files.items():
        write(str(file), content)
    return list(files)


def to_csv(table: Table) -> str:
    """Return one line for each figure of each stage, in full precision; what is not known is empty."""
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(figure_records(table))
    return text.getvalue()


def figure_records(table: Table) -> Iterator[dict[str, Any]]:
    """Yield a record for each figure of each stage, by COLUMNS; those of a comparison only where there is one."""
    for row in table.rows:
        for stage, figure in row.figures.items():
            result, comparison = figure.result, row.comparisons.get(stage)
            record = {"recipe": table.recipe, "stage": stage, "suite": row.suite, **figure.score.model_dump()}
            record |= {key: result.settings.get(key) for key in ("shots", "limit", "template")}
            record |= {"backend": result.model.backend, "fingerprint": result.model.fingerprint}
            record["state"] = figure.origin.state.value
            if comparison and isinstance(comparison.how, ComparedBy):
                record |= {"compared_with": comparison.before, "method": comparison.how.value}
                record |= {key: getattr(comparison, key) for key in ("difference", "low", "high", "exceeds_chance")}
            yield record


def render(table: Table) -> str:
    """Return the table as Markdown, with its legend and its notes."""
    heads = ["task", "metric", "settings", *table.stages]
    lines = [f"# Results: {table.recipe}", "", _line(heads), _line(["---"] * 3 + ["---:"] * len(table.stages))]
    for row in table.rows:
        figures = [_figure(row, stage) for stage in table.stages]
        lines.append(_line([cell(row.task), cell(row.metric), cell(settings_of(row)), *figures]))
    lines += ["", *_legend(table)]
    if notes := list(dict.fromkeys(_notes(table))):
        lines += ["", "## Notes", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(row: Row, stage: str) -> str:
    if stage not in row.figures:
        return "-"
    return f"{measured(row.suite, row.figures[stage].score)}{mark(row, stage)}"


def _legend(table: Table) -> Iterator[str]:
    yield (
        f"± is the standard error. {UP} and {DOWN}: above and below the stage before by more than chance. "
        "A dash: not measured."
    )
    outcomes = sorted(table.outcomes().items(), key=lambda item: list(_OUTCOMES).index(item[0][0]))
    if outcomes:
        yield ""
    for (how, settings), names in outcomes:
        differing = f" ({', '.join(settings)})" if settings else ""
        yield f"- {_OUTCOMES[how]}{differing}: {by_stage(names)}"


def _notes(table: Table) -> Iterator[str]:
    advice = "stale, measured on an earlier model of this stage; measure it again:"
    for result in (origin.result for origin in table.in_state(State.STALE)):
        yield f"{STALE} {result.stage} {result.task}: {advice} `{result.command}`"
    for result in (origin.result for origin in table.in_state(State.SERVED)):
        yield f"{result.stage} {result.task}: answered by {cell(result.model.name)} on a server, not checked"
    for result in (origin.result for origin in table.in_state(State.UNCHECKED)):
        yield f"{result.stage} {result.task}: the stage's model is not on this machine, so the result is not checked"
    noted: dict[str, dict[str, list[str]]] = {}
    for stage, origins in table.results.items():
        for result in (origin.result for origin in origins):
            for note in result.notes:
                noted.setdefault(note, {}).setdefault(stage, []).append(result.task)
    yield from (f"{by_stage(names)}: {cell(note)}" for note, names in noted.items())
