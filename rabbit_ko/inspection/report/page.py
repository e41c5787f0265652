"""The page itself: one HTML file that needs no network and no other file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dataset_builders.manifest import Manifest, SourceSummary
from rabbit_ko.inspection.report.collect import Report, StageReport
from rabbit_ko.inspection.report.figures import HEIGHT, WIDTH, Chart, count_chart, length_chart, quantile, share_chart
from rabbit_ko.inspection.report.measure import Measures
from rabbit_ko.inspection.report.samples import is_duplicate

SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class Step:
    """A step of the funnel: `rows` of those read, drawn from `start` on; `share` and `start` are of the rows read."""

    label: str
    kind: str
    rows: int
    share: float
    start: float


@dataclass(frozen=True)
class Line:
    """One source's rows in numbers; `hangul` is None where no row has letters."""

    source: str
    rows: int
    instruction: float
    multi_turn: float
    median: int
    most: int
    hangul: float | None


def render(report: Report) -> str:
    """Render the page; the same folder gives the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "number": "{:,}".format,
        "percent": _percent,
        "clip": clip,
        "allowed": _allowed,
        "converted": converted,
        "quantile": quantile,
    }
    environment.globals |= {"WIDTH": WIDTH, "HEIGHT": HEIGHT}
    manifest = report.manifest
    return environment.get_template("page.html.jinja").render(
        report=report,
        manifest=manifest,
        funnels=[(source, funnel(source)) for source in manifest.sources],
        reported=[(source, *entry) for source in manifest.sources for entry in source.reported.items()],
        stages=[(stage, lines(stage), charts(stage)) for stage in report.stages if stage.scan.measures],
        duplicates=duplicates(manifest),
        reasons=_reasons(manifest),
    )


def funnel(source: SourceSummary) -> list[Step]:
    """Return the steps from the rows read to those kept; what is dropped is drawn where the rest ends."""
    whole = source.read or 1
    steps = [Step("read", "read", source.read, source.read / whole, 0.0)]
    left = source.read
    for reason, count in source.rejected.items():
        left -= count
        steps.append(Step(reason, "rejected", count, count / whole, left / whole))
    return [*steps, Step("kept", "kept", source.kept, source.kept / whole, 0.0)]


def lines(stage: StageReport) -> list[Line]:
    """Return the numbers of each source of a stage, and of all where there are several."""
    named = list(stage.scan.measures.items())
    return [_line(name, rows) for name, rows in ([*named, ("all", stage.scan.every)] if len(named) > 1 else named)]


def _line(source: str, rows: Measures) -> Line:
    known = rows.hangul[~np.isnan(rows.hangul)]
    return Line(
        source=source,
        rows=len(rows),
        instruction=float(rows.instruction.mean()),
        multi_turn=float((rows.exchanges > 1).mean()),
        median=quantile(rows.characters, 0.5),
        most=quantile(rows.characters, 0.95),
        hangul=float(np.median(known)) if len(known) else None,
    )


def charts(stage: StageReport) -> list[Chart]:
    """Return a stage's figures."""
    rows = stage.scan.every
    tokens = stage.tokens.splits.get("train") if stage.tokens else None
    return [
        length_chart("Characters a row", rows.characters, "characters"),
        *([length_chart("Tokens a row, train", tokens.lengths, "tokens")] if tokens else []),
        count_chart("Exchanges a row", rows.exchanges, "exchanges"),
        share_chart("Hangul among the letters of a row", rows.hangul, "letters"),
    ]


def duplicates(manifest: Manifest) -> list[tuple[str, str, int, int]]:
    """Return (reason, source, rows dropped, rows only reported) for each reason that speaks of duplicates."""
    return [
        (reason, source.name, source.rejected.get(reason, 0), source.reported.get(reason, 0))
        for reason in sorted(
            {reason for source in manifest.sources for reason in (*source.rejected, *source.reported)}
        )
        if is_duplicate(reason)
        for source in manifest.sources
        if reason in source.rejected or reason in source.reported
    ]


def _reasons(manifest: Manifest) -> dict[str, int]:
    """Return each reason with the rows it has dropped of all sources, the most first."""
    reasons = {reason for source in manifest.sources for reason in source.rejected}
    counts = {reason: sum(source.rejected.get(reason, 0) for source in manifest.sources) for reason in reasons}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def clip(text: str, characters: int = SHOWN_CHARACTERS) -> str:
    """Cut a text that is long, and say how much is dropped."""
    rest = len(text) - characters
    return f"{text[:characters]} … and {rest:,} characters" if rest > 0 else text


def converted(text: str) -> dict[str, Any] | None:
    """Return a rejected row's fields where it had come as far as having messages; None where it is raw."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or row.keys() not in ({"messages"}, {"prompt", "chosen", "rejected"}):
        return None
    return row if all(map(_is_messages, row.values())) else None


def _is_messages(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(turn, dict) and all(isinstance(turn.get(key), str) for key in ("role", "content"))
        for turn in value
    )


def _percent(share: float | None) -> str:
    """Write a share so that neither a few rows look like none nor nearly all like all."""
    if share is None:
        return "-"
    if 0 < share < 0.001:
        return "< 0.1%"
    return "> 99.9%" if 0.999 < share < 1 else f"{share:.1%}"


def _allowed(answer: bool | None) -> str:
    return "not stated" if answer is None else "yes" if answer else "no"
