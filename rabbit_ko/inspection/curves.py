"""Curves of a run, drawn from the trainer's state: `rabbit curves`."""

import json
from pathlib import Path
from typing import Any

from axolotl_plugins.resume.checkpoints import STATE_FILE, checkpoints
from rabbit_ko.errors import UserError, reason

PICTURE = "curves.png"
WIDTH, HEIGHT, COLUMNS = 6.4, 3.4, 2
COLOURS = {"training": "#0072b2", "evaluation": "#d55e00"}
# Each panel's title by the trainer's name for what it shows.
PANELS = {
    "loss": "loss",
    "rewards/margins": "margin of chosen over rejected",
    "rewards/accuracies": "share of pairs told apart",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens per second",
}
FROM_ZERO = {"rewards/accuracies", "grad_norm", "tokens_per_second"}


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
        raise UserError(f"{found / STATE_FILE}: damaged: {reason(error)}; the run must log a new one") from None


def series(history: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return (step, value) for each step at which a value was logged; where it was logged twice, the later one."""
    return sorted({log["step"]: float(log[name]) for log in history if name in log}.items())


def panels(history: list[dict[str, Any]]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Return what each panel shows, in training and in evaluation; without the panels that have nothing to show."""
    keys = {"training": "", "evaluation": "eval_"}
    logged = {name: {when: series(history, prefix + name) for when, prefix in keys.items()} for name in PANELS}
    shown = {name: {when: points for when, points in lines.items() if points} for name, lines in logged.items()}
    return {name: lines for name, lines in shown.items() if lines}


def draw_run(run: Path) -> Path:
    """Draw a run's curves into its folder, and return the picture's path.

    Raises UserError where there is nothing to draw, or matplotlib is not installed.
    """
    shown = panels(read_history(run))
    if not shown:
        raise UserError(f"{run}: nothing to draw yet; it has logged no values")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError("curves need matplotlib; run `make setup`") from None

    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(WIDTH * COLUMNS, HEIGHT * rows), layout="constrained")
    figure.suptitle(str(run))
    last = max(step for lines in shown.values() for points in lines.values() for step, _ in points)
    for place, (name, lines) in enumerate(shown.items(), start=1):
        axis = figure.add_subplot(rows, COLUMNS, place, xlim=(-0.02 * last, max(1.02 * last, 1)))
        _plot(axis, name, lines)
    FigureCanvasAgg(figure).print_png(str(run / PICTURE))
    return run / PICTURE


def _plot(axis: Any, name: str, lines: dict[str, list[tuple[int, float]]]) -> None:
    for when, points in lines.items():
        marker = "o" if len(points) < 50 else None
        axis.plot(*zip(*points, strict=True), marker=marker, markersize=3.5, color=COLOURS[when], label=when)
    axis.set_title(PANELS[name], loc="left", fontsize=11)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set(xlabel="step", ylim=(0 if name in FROM_ZERO else None, None))
    axis.legend(frameon=False) if len(lines) > 1 else None
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
