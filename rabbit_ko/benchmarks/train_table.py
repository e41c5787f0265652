"""What `make bench WHAT=train` shows: a table for each stage, and a plot of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from rabbit_ko.benchmarks.tables import DASH, markdown
from rabbit_ko.benchmarks.throughput import Speed
from rabbit_ko.planning.memory import GIB

EPOCHS = 3
HEADINGS = (
    "",
    "tokens/s against the first",
    "tokens/s",
    "trained tokens/s",
    "with padding",
    "rows/s",
    "padding",
    "MFU",
    "peak memory",
    f"hours for {EPOCHS} epochs",
)
PLAIN_COLOUR, FAST_COLOUR = "#999999", "#0072B2"


@dataclass(frozen=True)
class Trained:
    """One recipe's stage as it was measured; `hours` are for all of its rows, with the true shape alone."""

    recipe: str
    stage: str
    speed: Speed
    mfu: float | None
    peak_bytes: int
    hours: float | None


@dataclass(frozen=True)
class Failed:
    """One recipe's stage that could not be measured, and why, in a line."""

    recipe: str
    stage: str
    reason: str


def stage_table(results: Sequence[Trained | Failed]) -> str:
    """Compare the configurations of one stage, the first of which is the plain one."""
    return markdown(HEADINGS, [_line(result, results[0]) for result in results])


def _line(result: Trained | Failed, first: Trained | Failed) -> list[str]:
    name = f"`{result.recipe}` {result.stage}"
    if isinstance(result, Failed):
        return [name, *[DASH] * (len(HEADINGS) - 1)]
    speed = result.speed
    return [
        name,
        DASH if isinstance(first, Failed) else f"{speed.tokens / first.speed.tokens:.2f}",
        *(f"{number:,.0f}" for number in (speed.tokens, speed.trained, speed.positions)),
        f"{speed.rows:,.1f}",
        f"{speed.padding:.1%}",
        DASH if result.mfu is None else f"{result.mfu:.1%}",
        f"{result.peak_bytes / GIB:,.1f} GiB",
        DASH if result.hours is None else f"{result.hours:,.1f}",
    ]


def draw(results: Sequence[Trained], title: str) -> bytes | None:
    """Return a bar for each configuration as PNG, padding behind it; None where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(8.0, 1.4 + 0.5 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    places = range(len(results))
    tokens, positions = ([getattr(one.speed, name) for one in results] for name in ("tokens", "positions"))
    colours = [FAST_COLOUR if one.recipe.endswith("-fast") else PLAIN_COLOUR for one in results]
    ax.barh(places, positions, color="none", edgecolor=colours, hatch="///", label="padding")
    bars = ax.barh(places, tokens, color=colours)
    ax.bar_label(bars, [f"{number:,.0f}" for number in tokens], label_type="center", color="white")
    ax.set_yticks(places, [f"{one.recipe} {one.stage}" for one in results])
    ax.invert_yaxis()
    ax.set_xlabel("tokens/s; hatched: padding")
    ax.set_title(title, fontsize="small")
    png = BytesIO()
    figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
    return png.getvalue()
