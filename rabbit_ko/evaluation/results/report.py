"""The results as files: Markdown to read, CSV to compute with, a chart to look at; and how a figure is written."""

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rabbit_ko.errors import printable
from rabbit_ko.evaluation.intervals import LEAST, RESAMPLES
from rabbit_ko.evaluation.records import Result, Score, State
from rabbit_ko.evaluation.results.compare import Figure, How
from rabbit_ko.evaluation.results.table import Part, Row, Table
from rabbit_ko.evaluation.results.words import ENGLISH, Words, say
from rabbit_ko.markdown import cell, code
from rabbit_ko.recipes import Recipe
from rabbit_ko.storage import write

# What a formula starts with, in full-width letters, too.
FORMULA = tuple("=+-@＝＋－＠")
UP, DOWN, STALE = "▲", "▼", "†"
FROM_HUB = "hub"  # what settings call data that come from there
# LogicKor's categories, in letters that every font has.
_ASCII_NAMES = {
    "추론": "reasoning",
    "수학": "math",
    "글쓰기": "writing",
    "코딩": "coding",
    "이해": "understanding",
    "문법": "grammar",
}
# Okabe and Ito's palette, whose colors the color-blind can tell apart, the base's in front.
PALETTE = ("#999999", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")

# What was compared how, or why not.
SENTENCES = {
    How.BOOTSTRAP: f"Compared by a paired bootstrap over the items ({RESAMPLES:,} resamples, 95 % interval)",
    How.ERRORS: "Compared by two standard errors of the difference of independent means",
    How.SETTINGS: "Not compared, as settings differ",
    How.STALE: "Not compared, as a figure is stale",
    How.FEW: f"Not compared, as there are fewer than {LEAST} items",
    How.NO_ERROR: "Not compared, as there is no standard error",
}


def write_files(table: Table) -> list[Path]:
    """Write the three files, each atomically; return their names. Raises OSError."""
    from pandas import DataFrame  # type: ignore[import-untyped]

    folder, figures = Recipe(table.recipe).results, DataFrame(map(harmless, figure_records(table)), dtype=object)
    texts = {"results.md": render(table), "results.csv": figures.to_csv(index=False)}
    contents = {name: text.encode() for name, text in texts.items()} | {"results.png": draw(table)}
    for name, content in contents.items():
        write(str(folder / name), content)
    return [folder / name for name in contents]


def figure_records(table: Table) -> Iterator[dict[str, Any]]:
    """Yield a record for each figure of each stage, with None for what is not known or not compared."""
    for row in table.rows:
        for stage, figure in row.figures.items():
            result, comparison = figure.result, figure.comparison
            compared = comparison if comparison and comparison.how in (How.BOOTSTRAP, How.ERRORS) else None
            yield {
                **{"recipe": table.recipe, "stage": stage, "suite": row.suite},
                **figure.score.model_dump(exclude={"low", "high", "tasks"}),
                **{"value_low": figure.score.low, "value_high": figure.score.high},
                **{key: result.settings.get(key) for key in ("shots", "limit", "template")},
                **{"backend": result.model.backend, "fingerprint": result.model.fingerprint},
                "state": result.state.value,
                "compared_with": compared and compared.before,
                "method": compared and compared.how.value,
                **{key: getattr(compared, key, None) for key in ("difference", "low", "high", "exceeds_chance")},
            }


def harmless(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record whose texts stay in their cells, and no spreadsheet takes for formulas; numbers stay numbers.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    texts = {name: printable(value) for name, value in record.items() if isinstance(value, str)}
    return record | {name: f"'{text}" if text.startswith(FORMULA) else text for name, text in texts.items()}


def render(table: Table) -> str:
    """Return the table as Markdown, with its legend and its notes."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "cell": cell,
        "settings": settings_of,
        "figure": figure_text,
    }
    template = environment.get_template("results.md.jinja")
    compared, noted = comparisons(table, cell), notes(table, cell, code)
    return template.render(table=table, up=UP, down=DOWN, comparisons=list(compared), notes=list(noted))


def by_stage(parts: dict[str, list[Part]], words: Words = ENGLISH, mark: Callable[[str], str] = cell) -> str:
    """Write parts of suites by stage in one line. mark: writes a name, by default for Markdown."""

    def written(part: Part) -> str:
        counted = "" if part.count == part.of else f" ({say(words, '{} of {}', part.count, part.of)})"
        return f"{mark(part.suite)}{counted}"

    return "; ".join(f"{stage}: {', '.join(map(written, found))}" for stage, found in parts.items())


def comparisons(table: Table, mark: Callable[[str], str] = str) -> Iterator[str]:
    """Yield a line for each way in which figures were compared, or were not. mark: writes a name."""
    outcomes = table.outcomes()
    for kind, sentence in SENTENCES.items():
        for (how, settings), stages in outcomes.items():
            if how is kind:
                why = f" ({', '.join(map(mark, settings))})" if settings else ""
                yield f"{sentence}{why}: {by_stage(stages, mark=mark)}"


def notes(table: Table, mark: Callable[[str], str] = str, as_code: Callable[[str], str] = str) -> Iterator[str]:
    """Yield lines on results that are of another model than the stage's, or may be, and what was noted of others."""
    for result in table.in_state(State.STALE):
        again = f"stale, measured on an earlier model of this stage; measure it again: {as_code(result.command)}"
        yield f"{STALE} {result.stage} {mark(result.task)}: {again}"
    for result in table.in_state(State.SERVED):
        yield f"{result.stage} {mark(result.task)}: answered by {mark(result.model.name)} on a server, not checked"
    for result in table.in_state(State.UNCHECKED):
        said = "the stage's model is not on this machine, so the result is not checked"
        yield f"{result.stage} {mark(result.task)}: {said}"
    for result in chain.from_iterable(table.results.values()):
        yield from (f"{result.stage} {mark(result.task)}: {mark(note)}" for note in result.notes)


def figure_text(row: Row, stage: str, words: Words = ENGLISH) -> str:
    """Write a stage's figure, marked where its difference exceeds chance and where it is stale; or a dash."""
    figure = row.figures.get(stage)
    return "-" if figure is None else f"{measured(figure.score, row.scale, words)}{marks(figure)}"


def marks(figure: Figure) -> str:
    """Return the marks behind a figure: whether its difference exceeds chance, and whether it is stale."""
    comparison, found = figure.comparison, ""
    if comparison and comparison.exceeds_chance:
        found += f" {UP if comparison.difference > 0 else DOWN}"
    return f"{found} {STALE}" if figure.is_stale else found


def measured(score: Score, scale: float = 1.0, words: Words = ENGLISH) -> str:
    """Write a figure with its 95 % interval, or else its standard error, and how many verdicts are missing.

    scale: the highest that it can be, which is 1 of a share.
    """
    digits, fine = (4, 3) if scale == 1 else (2, 2)
    text = "-" if score.value is None else f"{score.value:.{digits}f}"
    if score.low is not None and score.high is not None:
        text += f" ({score.low:.{fine}f}-{score.high:.{fine}f})"
    elif score.value is not None and score.stderr:
        text += f" ± {score.stderr:.{digits}f}"
    return f"{text} ({say(words, '{} missing', score.missing)})" if score.missing else text


def settings_of(row: Row, words: Words = ENGLISH) -> str:
    """Describe a row's settings; where the stages' differ, those of each stage."""
    found: dict[str, list[str]] = {}
    for stage, figure in row.figures.items():
        found.setdefault(describe(figure.result, words), []).append(stage)
    if len(found) <= 1:
        return "".join(found)
    return "; ".join(f"{', '.join(stages)}: {text}" for text, stages in found.items())


def describe(result: Result, words: Words = ENGLISH) -> str:
    """Write the settings of a result that every reader asks for."""
    settings = result.settings
    parts = [f"{settings['shots']}-shot"] if "shots" in settings else []
    if "template" in settings:
        parts.append(say(words, "the recipe's prompt" if settings["template"] else "bare text"))
    if "judge" in settings:
        parts.append(say(words, "judge {}", settings["judge"]))
    if "against" in settings:
        parts.append(say(words, "against {}", settings["against"]))
    if settings.get("limit") is not None:
        parts.append(say(words, "first {} items", settings["limit"]))
    if settings.get("data", FROM_HUB) != FROM_HUB:
        parts.append(say(words, "local data"))
    return ", ".join(parts)


def draw(table: Table) -> bytes:
    """Return the chart as PNG: a panel for shares and one for each scale of judges, where they were measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    drawn = [row for row in table.rows if _is_drawn(row)]
    panels = {scale: [row for row in drawn if row.scale == scale] for scale in sorted({row.scale for row in drawn})}
    width, rows = 1.5 + 0.75 * max(map(len, panels.values()), default=0), max(1, len(panels))
    figure = Picture(figsize=(max(6.0, width), 1.0 + 4.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(table.recipe)
    for ax, (scale, of_panel) in zip(figure.subplots(rows, squeeze=False)[:, 0], panels.items(), strict=False):
        title = "share correct" if scale == 1 else f"judged, points of {scale:g}"
        values, errors = (_frame(of_panel, table.stages, field) for field in ("value", "stderr"))
        colors = [PALETTE[place % len(PALETTE)] for place in range(len(table.stages))]
        values.plot.bar(ax=ax, yerr=errors, capsize=2, color=colors, width=0.8, title=title, ylim=(0, scale))
        ax.set_xticklabels(values.index, rotation=45, ha="right", fontsize="small")
        ax.grid(axis="y", alpha=0.3)
        ax.set_axisbelow(True)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return png.getvalue()


def label(row: Row) -> str:
    """Return a row's name in letters that every font has: `?` for others, of which only categories have some."""
    judged = [row.suite] if row.is_judged else []
    names = [*judged, _ASCII_NAMES.get(row.task, row.task), *row.metric.split(",")]
    return "\n".join(name.encode("ascii", "replace").decode() for name in names)


def _is_drawn(row: Row) -> bool:
    """Tell whether a row has a bar; of a judged bench's overall figures only the last one has, and no contest."""
    is_part = row.is_judged and row.metric == "overall" and row.task != "total"
    is_contest = row.result is not None and row.result.is_contest
    return not (is_part or is_contest) and any(figure.score.value is not None for figure in row.figures.values())


def _frame(rows: list[Row], stages: tuple[str, ...], field: str) -> Any:
    """Return a field of all figures, by the rows' labels and stages."""
    import pandas

    known = [{stage: getattr(figure.score, field) for stage, figure in row.figures.items()} for row in rows]
    return pandas.DataFrame(known, index=[label(row) for row in rows], columns=list(stages), dtype=float)
