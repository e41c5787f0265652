"""The results as files: Markdown to read, CSV to compute with, a chart to look at."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from rabbit_ko.evaluation.results.chart import draw
from rabbit_ko.evaluation.results.compare import Comparison
from rabbit_ko.evaluation.results.markdown import render
from rabbit_ko.evaluation.results.table import Row, Table
from rabbit_ko.evaluation.stages import results_folder
from rabbit_ko.storage import write

FIGURE = ("recipe", "stage", "suite", "task", "metric", "value", "stderr", "items", "missing")
ORIGIN = ("shots", "limit", "template", "backend", "fingerprint", "state")
COMPARISON = ("compared_with", "method", "difference", "low", "high", "exceeds_chance")


def write_files(table: Table) -> list[Path]:
    """Write the three files, each whole or not at all; return their names. Raises OSError."""
    folder = results_folder(table.recipe)
    contents = {
        "results.md": render(table).encode(),
        "results.csv": to_csv(table).encode(),
        "results.png": draw(table),
    }
    for name, content in contents.items():
        write(str(folder / name), content)
    return [folder / name for name in contents]


def to_csv(table: Table) -> str:
    """Return one line for each figure of each stage, in full precision; what is not known is empty."""
    text = StringIO()
    writer = csv.DictWriter(text, (*FIGURE, *ORIGIN, *COMPARISON), restval="", lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        writer.writerows(_records(table.recipe, row))
    return text.getvalue()


def _records(recipe: str, row: Row) -> Iterator[dict[str, Any]]:
    for stage, figure in row.figures.items():
        score, result = figure.score, figure.result
        yield {
            "recipe": recipe,
            "stage": stage,
            "suite": row.suite,
            **score.model_dump(),
            **{key: result.settings.get(key) for key in ("shots", "limit", "template")},
            "backend": result.model.backend,
            "fingerprint": result.model.fingerprint,
            "state": figure.origin.state.value,
            **_comparison(row, stage),
        }


def _comparison(row: Row, stage: str) -> dict[str, Any]:
    comparison = row.comparisons.get(stage)
    if not isinstance(comparison, Comparison):
        return {}
    return {
        "compared_with": comparison.before,
        "method": comparison.method.value,
        "difference": comparison.difference,
        "low": comparison.low,
        "high": comparison.high,
        "exceeds_chance": comparison.exceeds_chance,
    }
