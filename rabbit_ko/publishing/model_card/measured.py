"""What the card shows of the results: the stage's own figures beside those of the stages before, none stale."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rabbit_ko.evaluation.logickor.questions import CATEGORIES
from rabbit_ko.evaluation.logickor.scores import TOTAL
from rabbit_ko.evaluation.records import Result
from rabbit_ko.evaluation.results.compare import ComparedBy, Reason
from rabbit_ko.evaluation.results.figures import KNOWN_SUITES, LOGICKOR, State
from rabbit_ko.evaluation.results.table import Row, Words, by_stage, mark, measured, settings_of
from rabbit_ko.markdown import cell
from rabbit_ko.publishing.model_card.facts import Facts

METRICS = ("single", "multi", "overall")


@dataclass(frozen=True)
class LogicKor:
    """The stage's figures under one strategy, a row for each category: its name, single, multi and both."""

    strategy: str
    judge: str
    rows: list[list[str]]


def task_rows(facts: Facts, words: Words) -> list[list[str]]:
    """Return the rows of the harness's tasks: name, metric, conditions, and a figure of each stage."""
    rows = [_without_stale(row) for row in facts.table.rows if not row.is_logickor]
    return [
        [
            *(cell(text) for text in (row.task, row.metric, settings_of(row, words))),
            *(figure(row, stage, words) for stage in facts.table.stages),
        ]
        for row in rows
    ]


def figure(row: Row | None, stage: str, words: Words) -> str:
    """Write a figure of a stage; a dash where there is none of the stage's model."""
    if row is None or stage not in row.figures or row.figures[stage].is_stale:
        return "-"
    return f"{measured(row.suite, row.figures[stage].score, words)}{mark(row, stage)}"


def logickor(facts: Facts, words: Words, total: str) -> list[LogicKor]:
    """Return LogicKor's tables of the stage, one with dashes where it was not judged. total: the last row's name."""
    rows = [row for row in facts.table.rows if row.is_logickor]
    return [
        LogicKor(
            suite.removeprefix(LOGICKOR).removeprefix("-"),
            str(result.settings.get("judge", "")) if (result := _result(facts, suite)) else "",
            [_category(rows, suite, task, facts.stage.name, words, total) for task in (*CATEGORIES, TOTAL)],
        )
        for suite in dict.fromkeys(row.suite for row in rows)
        if suite == LOGICKOR or _result(facts, suite)
    ]


def outcomes(facts: Facts) -> list[tuple[str, str, str]]:
    """Return how the stages were compared, or why not: the method or reason, the settings that differ, the names."""
    order: list[ComparedBy | Reason] = [*ComparedBy, *Reason]
    found = sorted(facts.table.outcomes().items(), key=lambda item: order.index(item[0][0]))
    return [(how.name, ", ".join(settings), by_stage(names)) for (how, settings), names in found]


def results(facts: Facts) -> Iterator[Result]:
    """Yield the stage's own results."""
    origins = facts.table.results[facts.stage.name]
    yield from (origin.result for origin in origins if origin.state is not State.STALE)


def served(facts: Facts) -> list[str]:
    """Return the tasks that a server's model answered in the stage's name."""
    origins = facts.table.results[facts.stage.name]
    return [origin.result.task for origin in origins if origin.state is State.SERVED]


def not_measured(facts: Facts) -> list[str]:
    """Return the tasks of the model cards that the stage has no result of."""
    there = {result.task for result in results(facts)}
    return [suite for suite in KNOWN_SUITES if suite not in there]


def notes(facts: Facts) -> list[tuple[str, str]]:
    """Return what the results note, but for what the table says already, with their tasks."""
    return [
        (result.task, note)
        for result in results(facts)
        for note in result.notes
        if not note.startswith(("the first ", "data from "))
    ]


def _without_stale(row: Row) -> Row:
    return replace(row, figures={stage: found for stage, found in row.figures.items() if not found.is_stale})


def _result(facts: Facts, suite: str) -> Result | None:
    return next((result for result in results(facts) if result.task == suite), None)


def _category(rows: list[Row], suite: str, task: str, stage: str, words: Words, total: str) -> list[str]:
    there = {row.metric: row for row in rows if (row.suite, row.task) == (suite, task)}
    return [total if task == TOTAL else task, *(figure(there.get(metric), stage, words) for metric in METRICS)]
