"""The table as Markdown, with what a reader has to know about the figures."""

from collections.abc import Iterator

from rabbit_ko.evaluation.results.compare import LEAST_ITEMS, RESAMPLES, Method, Reason
from rabbit_ko.evaluation.results.figures import State
from rabbit_ko.evaluation.results.table import Row, Table
from rabbit_ko.evaluation.results.text import (
    DOWN,
    STALE,
    UP,
    by_stage,
    command,
    mark,
    measured,
    settings_of,
)
from rabbit_ko.markdown import cell

_OUTCOMES = {
    Method.BOOTSTRAP: f"Compared by a paired bootstrap over the items ({RESAMPLES:,} resamples, 95 % interval)",
    Method.ERRORS: "Compared by two standard errors of the difference of independent means",
    Reason.SETTINGS: "Not compared, as settings differ",
    Reason.STALE: "Not compared, as a figure is stale",
    Reason.FEW: f"Not compared, as there are fewer than {LEAST_ITEMS} items",
    Reason.NO_ERROR: "Not compared, as there is no standard error",
}


def render(table: Table) -> str:
    """Return the table with its legend and its notes."""
    heads = ["task", "metric", "settings", *table.stages]
    lines = [f"# Results: {table.recipe}", "", _line(heads), _line(["---"] * 3 + ["---:"] * len(table.stages))]
    lines += [_line(_cells(table, row)) for row in table.rows]
    lines += ["", *_legend(table)]
    if notes := list(dict.fromkeys(_notes(table))):
        lines += ["", "## Notes", "", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(table: Table, row: Row) -> list[str]:
    return [
        cell(row.task),
        cell(row.metric),
        cell(settings_of(row)),
        *(_figure(row, stage) for stage in table.stages),
    ]


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
    for origin in table.in_state(State.STALE):
        result = origin.result
        yield (
            f"{STALE} {result.stage} {result.task}: stale, measured on an earlier model of this stage; "
            f"measure it again: `{command(result)}`"
        )
    for origin in table.in_state(State.SERVED):
        result = origin.result
        yield f"{result.stage} {result.task}: answered by {cell(result.model.name)} on a server, not checked"
    for origin in table.in_state(State.UNCHECKED):
        result = origin.result
        yield f"{result.stage} {result.task}: the stage's model is not on this machine, so the result is not checked"
    noted: dict[str, dict[str, list[str]]] = {}
    for stage, results in table.results.items():
        for origin in results:
            for note in origin.result.notes:
                noted.setdefault(note, {}).setdefault(stage, []).append(origin.result.task)
    yield from (f"{by_stage(names)}: {cell(note)}" for note, names in noted.items())
