"""The results as a bar chart: a group of bars for each figure, a bar for each stage, with its standard error."""

from io import BytesIO
from math import nan
from typing import Any

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.logickor.questions import CATEGORIES
from rabbit_ko.evaluation.results.table import Row, Table
from rabbit_ko.evaluation.stages import BASE
from rabbit_ko.methods import METHODS

# Names that every font can draw.
ENGLISH: dict[str, str] = dict(
    zip(CATEGORIES, ("reasoning", "math", "writing", "coding", "understanding", "grammar"), strict=True)
)
# Okabe and Ito's palette, whose colors the color-blind can tell apart, the base's in front.
PALETTE = ("#999999", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")


def draw(table: Table) -> bytes:
    """Return the chart as PNG. Raises UserError where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("the chart needs matplotlib; run `make setup EXTRAS=train,eval,dev`") from None
    panels = [
        (title, most, rows)
        for title, most, is_logickor in (("share correct", 1.0, False), ("LogicKor, points of ten", 10.0, True))
        if (rows := [row for row in table.rows if row.is_logickor is is_logickor and _is_drawn(row)])
    ]
    widest = max((len(rows) for _, _, rows in panels), default=1)
    figure = Figure(figsize=(max(6.0, 1.5 + 0.75 * widest), 1.0 + 4.0 * max(1, len(panels))), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(table.recipe)
    axes = figure.subplots(max(1, len(panels)), squeeze=False)[:, 0]
    for (title, most, rows), ax in zip(panels, axes, strict=False):
        _draw_panel(ax, title, most, rows, table.stages)
    if not panels:
        axes[0].text(0.5, 0.5, "no results yet", ha="center", va="center")
        axes[0].set_axis_off()
    png = BytesIO()
    figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return png.getvalue()


def color(stage: str) -> str:
    """Return a stage's color, which is the same in every chart."""
    return PALETTE[(BASE, *METHODS).index(stage) % len(PALETTE)]


def label(row: Row) -> str:
    """Return a row's name in letters that every font has."""
    task = ENGLISH.get(row.task, row.task)
    suite = "" if row.suite == "logickor" or not row.is_logickor else f"{row.suite.removeprefix('logickor-')}\n"
    return f"{suite}{task}\n{row.metric.replace(',', chr(10))}"


def _is_drawn(row: Row) -> bool:
    """Tell whether a row has a bar; of LogicKor's overall figures only the last one has."""
    is_part = row.is_logickor and row.metric == "overall" and row.task != "total"
    return not is_part and any(figure.score.value is not None for figure in row.figures.values())


def _draw_panel(ax: Any, title: str, most: float, rows: list[Row], stages: tuple[str, ...]) -> None:
    width = 0.8 / len(stages)
    for number, stage in enumerate(stages):
        present = [(place, row.figures[stage]) for place, row in enumerate(rows) if stage in row.figures]
        found = [(place, figure) for place, figure in present if figure.score.value is not None]
        if not found:
            continue
        ax.bar(
            [place + (number - (len(stages) - 1) / 2) * width for place, _ in found],
            [figure.score.value for _, figure in found],
            width,
            yerr=[nan if figure.score.stderr is None else figure.score.stderr for _, figure in found],
            capsize=2,
            label=stage,
            color=color(stage),
            hatch=["//" if figure.is_stale else "" for _, figure in found],
        )
    ax.set(title=title, ylim=(0, most), xlim=(-0.5, len(rows) - 0.5))
    ax.set_xticks(range(len(rows)), [label(row) for row in rows], rotation=45, ha="right", fontsize="small")
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)
    ax.legend()
