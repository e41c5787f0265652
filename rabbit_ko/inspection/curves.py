"""Curves of a recipe's runs, from the trainer's state: `make curves`, or

python -m rabbit_ko.inspection.curves runs/smoke
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axolotl_plugins.resume.checkpoints import STATE_FILE, checkpoints
from rabbit_ko.errors import UserError, reason

PICTURE = "curves.png"
EVALUATED = "eval_"
WIDTH, HEIGHT, COLUMNS = 6.4, 3.4, 2
COLOURS = ("#0072b2", "#d55e00")


@dataclass(frozen=True)
class Panel:
    """One plot: its title, and the figure that it shows as it was in training and in evaluation."""

    title: str
    figure: str
    starts_at_zero: bool = False


PANELS = (
    Panel("loss", "loss"),
    Panel("margin of chosen over rejected", "rewards/margins"),
    Panel("share of pairs told apart", "rewards/accuracies", starts_at_zero=True),
    Panel("learning rate", "learning_rate"),
    Panel("gradient norm", "grad_norm", starts_at_zero=True),
    Panel("tokens per second", "tokens_per_second", starts_at_zero=True),
)

Series = list[tuple[int, float]]


def read_history(run: Path) -> list[dict[str, Any]]:
    """Return what a run has logged until its end, or, while it has none, until its last checkpoint.

    Raises UserError where there is nothing yet, or what there is cannot be read.
    """
    found = next((folder for folder in (run, *checkpoints(run)) if (folder / STATE_FILE).is_file()), None)
    if found is None:
        raise UserError(f"{run}: nothing to draw yet; a run can be drawn from its first checkpoint on")
    try:
        return list(json.loads((found / STATE_FILE).read_text(encoding="utf-8"))["log_history"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{found / STATE_FILE}: damaged: {reason(error)}; `make curves` needs a whole one") from None


def series(history: list[dict[str, Any]], name: str) -> Series:
    """Return the steps and values at which a figure was logged; where a step was logged twice, the later one."""
    return sorted({log["step"]: float(log[name]) for log in history if name in log}.items())


def panels(history: list[dict[str, Any]]) -> dict[Panel, dict[str, Series]]:
    """Return the panels that have anything to show, each with what was logged in training and in evaluation."""
    found = {}
    for panel in PANELS:
        both = {"training": series(history, panel.figure), "evaluation": series(history, EVALUATED + panel.figure)}
        if there := {name: values for name, values in both.items() if values}:
            found[panel] = there
    return found


def draw(shown: dict[Panel, dict[str, Series]], title: str, picture: Path) -> None:
    """Draw panels, two in a row, into a PNG. Raises UserError where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("curves need matplotlib; run `make setup`") from None

    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(WIDTH * COLUMNS, HEIGHT * rows), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flat
    last = max(step for values in shown.values() for points in values.values() for step, _ in points)
    for axis, (panel, values) in zip(axes, shown.items(), strict=False):
        _plot(axis, panel, values)
        axis.set_xlim(-0.02 * last, max(1.02 * last, 1))
    for axis in list(axes)[len(shown) :]:
        axis.remove()
    FigureCanvasAgg(figure).print_png(str(picture))


def _plot(axis: Any, panel: Panel, values: dict[str, Series]) -> None:
    for (name, points), colour in zip(values.items(), COLOURS, strict=False):
        marker = "o" if len(points) < 50 else None
        axis.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=3.5, linewidth=1.5, label=name)
    axis.set_title(panel.title, loc="left", fontsize=11)
    axis.set_xlabel("step")
    axis.xaxis.get_major_locator().set_params(integer=True)
    if panel.starts_at_zero:
        axis.set_ylim(bottom=0)
    if len(values) > 1:
        axis.legend(frameon=False)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def draw_run(run: Path) -> Path:
    """Draw a run's curves into its folder and return the picture. Raises UserError where there is nothing to draw."""
    shown = panels(read_history(run))
    if not shown:
        raise UserError(f"{run}: nothing to draw yet; it has logged no figure")
    draw(shown, str(run), run / PICTURE)
    return run / PICTURE


def main(arguments: list[str]) -> None:
    """Draw the stages of a recipe, and say which cannot be drawn; raises SystemExit with one line where none can."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m rabbit_ko.inspection.curves runs/RECIPE")
    recipe = Path(arguments[0])
    stages = [recipe / stage for stage in ("sft", "dpo") if (recipe / stage).is_dir()]
    if not stages:
        raise SystemExit(f"{recipe}: no run in it; run `make sft RECIPE={recipe.name}` first")
    pictures = []
    for stage in stages:
        try:
            pictures.append(draw_run(stage))
        except UserError as error:
            print(error, file=sys.stderr)
    if not pictures:
        raise SystemExit(1)
    print(*pictures, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
