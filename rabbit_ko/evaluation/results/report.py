"""The results as files: Markdown to read, CSV to compute with, a chart to look at; and how a figure is written."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rabbit_ko.errors import printable
from rabbit_ko.evaluation.judge.questions import CATEGORIES
from rabbit_ko.evaluation.records import Result, Score
from rabbit_ko.evaluation.results.compare import LEAST_ITEMS, RESAMPLES, How
from rabbit_ko.evaluation.results.table import LOGICKOR, Row, Table
from rabbit_ko.markdown import cell, code
from rabbit_ko.recipes import Recipe
from rabbit_ko.storage import write

# What a formula starts with, in full-width letters, too.
FORMULA = tuple("=+-@＝＋－＠")
UP, DOWN, STALE = "▲", "▼", "†"
FROM_HUB = "hub"  # what settings call data that come from there
# What another language says for the English words of figures and settings.
Words = dict[str, str]
ENGLISH: Words = {}
KOREAN: Words = {
    "the recipe's prompt": "학습 때의 프롬프트",
    "bare text": "질문만",
    "first {} items": "처음 {}문항",
    "local data": "로컬 데이터",
    "judge {}": "심판 {}",
    "{} missing": "판정 없음 {}",
}
_ASCII_NAMES: dict[str, str] = dict(
    zip(CATEGORIES, ("reasoning", "math", "writing", "coding", "understanding", "grammar"), strict=True)
)
# Okabe and Ito's palette, whose colors the color-blind can tell apart, the base's in front.
PALETTE = ("#999999", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")


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
                **{
                    "recipe": table.recipe,
                    "stage": stage,
                    "suite": row.suite,
                    **figure.score.model_dump(exclude={"tasks"}),
                },
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
        "code": code,
        "settings": settings_of,
        "figure": figure_text,
        "by_stage": by_stage,
    }
    template = environment.get_template("results.md.jinja")
    return template.render(table=table, up=UP, down=DOWN, stale=STALE, resamples=RESAMPLES, least=LEAST_ITEMS)


def by_stage(names: dict[str, list[str]]) -> str:
    """Write names by stage in one line of Markdown."""
    return "; ".join(f"{stage}: {', '.join(map(cell, found))}" for stage, found in names.items())


def figure_text(row: Row, stage: str, words: Words = ENGLISH) -> str:
    """Write a stage's figure, marked where its difference exceeds chance and where it is stale; or a dash."""
    figure = row.figures.get(stage)
    if figure is None:
        return "-"
    text, comparison = measured(row.suite, figure.score, words), figure.comparison
    if comparison and comparison.exceeds_chance:
        text += f" {UP if comparison.difference > 0 else DOWN}"
    return f"{text} {STALE}" if figure.is_stale else text


def measured(suite: str, score: Score, words: Words = ENGLISH) -> str:
    """Write a figure, points of ten of LogicKor or a share of one, with its standard error and missing verdicts."""
    digits = 2 if suite.startswith(LOGICKOR) else 4
    text = "-" if score.value is None else f"{score.value:.{digits}f}"
    if score.value is not None and score.stderr is not None:
        text += f" ± {score.stderr:.{digits}f}"
    return f"{text} ({_say(words, '{} missing', score.missing)})" if score.missing else text


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
        parts.append(_say(words, "the recipe's prompt" if settings["template"] else "bare text"))
    if "judge" in settings:
        parts.append(_say(words, "judge {}", settings["judge"]))
    if settings.get("limit") is not None:
        parts.append(_say(words, "first {} items", settings["limit"]))
    if settings.get("data", FROM_HUB) != FROM_HUB:
        parts.append(_say(words, "local data"))
    return ", ".join(parts)


def _say(words: Words, english: str, *values: object) -> str:
    return words.get(english, english).format(*values)


def draw(table: Table) -> bytes:
    """Return the chart as PNG: a panel for the harness's tasks and one for LogicKor, where either was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = [row for row in table.rows if _is_drawn(row)]
    shares, points = ([row for row in drawn if row.is_logickor is wanted] for wanted in (False, True))
    panels = [panel for panel in (("share correct", 1, shares), ("LogicKor, points of ten", 10, points)) if panel[2]]
    width, rows = 1.5 + 0.75 * max(len(shares), len(points)), max(1, len(panels))
    figure = Figure(figsize=(max(6.0, width), 1.0 + 4.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(table.recipe)
    for ax, (title, most, rows_of_panel) in zip(figure.subplots(rows, squeeze=False)[:, 0], panels, strict=False):
        values, errors = (_frame(rows_of_panel, table.stages, field) for field in ("value", "stderr"))
        colors = [PALETTE[place % len(PALETTE)] for place in range(len(table.stages))]
        values.plot.bar(ax=ax, yerr=errors, capsize=2, color=colors, width=0.8, title=title, ylim=(0, most))
        ax.set_xticklabels(values.index, rotation=45, ha="right", fontsize="small")
        ax.grid(axis="y", alpha=0.3)
        ax.set_axisbelow(True)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return png.getvalue()


def label(row: Row) -> str:
    """Return a row's name in letters that every font has."""
    strategy = [row.suite.removeprefix(f"{LOGICKOR}-")] if row.suite.startswith(f"{LOGICKOR}-") else []
    return "\n".join([*strategy, _ASCII_NAMES.get(row.task, row.task), *row.metric.split(",")])


def _is_drawn(row: Row) -> bool:
    """Tell whether a row has a bar; of LogicKor's overall figures only the last one has."""
    is_part = row.is_logickor and row.metric == "overall" and row.task != "total"
    return not is_part and any(figure.score.value is not None for figure in row.figures.values())


def _frame(rows: list[Row], stages: tuple[str, ...], field: str) -> Any:
    """Return a field of all figures, by the rows' labels and stages."""
    import pandas

    known = [{stage: getattr(figure.score, field) for stage, figure in row.figures.items()} for row in rows]
    return pandas.DataFrame(known, index=[label(row) for row in rows], columns=list(stages), dtype=float)
