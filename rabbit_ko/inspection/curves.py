"""Curves of a run, drawn from the trainer's state: `rabbit curves`."""

import json
from pathlib import Path
from typing import Any

from axolotl_plugins.resume.checkpoints import STATE_FILE, checkpoints
from rabbit_ko.errors import UserError, reason

# Each panel's title by the trainer's name for what it shows.
PANELS = {
    "loss": "loss",
    "rewards/margins": "margin of chosen over rejected",
    "rewards/accuracies": "share of pairs told apart",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens per second",
}


def read_history(run: Path) -> list[dict[str, Any]]:
    """Return what a run has logged, until its end or last checkpoint. Raises UserError where there is nothing."""
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
    return {name: lines for name, lines in logged.items() if any(lines.values())}


def draw_run(run: Path) -> Path:
    """Draw a run's curves into its folder; return the picture's path. Raises UserError where nothing is logged."""
    shown = panels(read_history(run))
    if not shown:
        raise UserError(f"{run}: nothing to draw yet; it has logged no values")
    from matplotlib.figure import Figure

    rows = (len(shown) + 1) // 2
    figure = Figure(figsize=(12.8, 3.4 * rows), layout="constrained")
    figure.suptitle(str(run))
    axis = None
    for place, (name, lines) in enumerate(shown.items(), start=1):
        axis = figure.add_subplot(rows, 2, place, sharex=axis, xlabel="step")
        axis.set_title(PANELS[name], loc="left")
        for colour, (when, points) in zip(("C0", "C1"), lines.items(), strict=True):
            if points:
                axis.plot(*zip(*points, strict=True), ".-", color=colour, label=when)
        axis.legend(frameon=False)
        axis.grid(alpha=0.3)
    figure.savefig(run / "curves.png")
    return run / "curves.png"
