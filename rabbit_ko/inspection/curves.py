"""Curves of a run, drawn from the trainer's state: `rabbit curves`."""

from io import BytesIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, field_validator

from axolotl_plugins.resume.checkpoints import STATE_FILE, checkpoints
from rabbit_ko.documents import read_record
from rabbit_ko.errors import UserError, printable
from rabbit_ko.run_record import remedy
from rabbit_ko.storage import write

# Each panel's title by the trainer's name for what it shows.
PANELS = {
    "loss": "loss",
    "nll_loss": "loss of likelihood",
    "log_odds_ratio": "log odds ratio",
    "kl": "KL divergence",
    "rewards/chosen": "reward of chosen answers",
    "rewards/rejected": "reward of rejected answers",
    "rewards/margins": "margin of chosen over rejected",
    "rewards/accuracies": "share of pairs told apart",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens per second",
}
# Those of preferences, which TRL averages over the batches since it last logged.
OF_BATCHES = {name for name in PANELS if name.startswith("rewards/")} | {"nll_loss", "log_odds_ratio", "kl"}
# Beyond it, an integer is no float.
LARGEST = 2**63


class _State(BaseModel):
    """Of the trainer's account, what is drawn: numbers by what they are of, with the step."""

    log_history: list[dict[str, Any]]

    @field_validator("log_history")
    @classmethod
    def _has_numbers(cls, history: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for log in history:
            for name in ("step", *PANELS, *(f"eval_{name}" for name in PANELS)):
                value = log.get(name, 0 if name != "step" else None)
                if not isinstance(value, int | float) or (isinstance(value, int) and abs(value) > LARGEST):
                    raise ValueError(f"{name}: {printable(str(value)[:40])} is no number, or none of a run")
        return history


def read_history(run: Path) -> list[dict[str, Any]]:
    """Return what a run has logged, until its end or last checkpoint. Raises UserError where there is nothing."""
    found = next((folder for folder in (run, *checkpoints(run)) if (folder / STATE_FILE).exists()), None)
    if found is None:
        raise UserError(f"{run}: nothing to draw yet; a run can be drawn from its first checkpoint on")
    return read_record(_State, found / STATE_FILE, remedy(run)).log_history


def series(history: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return (step, value) for each step at which a value was logged; where it was logged twice, the later one."""
    return sorted({log["step"]: float(log[name]) for log in history if name in log}.items())


def panels(history: list[dict[str, Any]]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Return what each panel shows, in training and in evaluation; without the panels that have nothing to show."""
    keys = {"training": "", "evaluation": "eval_"}
    logged = {name: {when: series(history, prefix + name) for when, prefix in keys.items()} for name in PANELS}
    # What is 0 from beginning to end is a term that the method does not have, such as SimPO's of likelihood.
    return {
        name: lines for name, lines in logged.items() if any(value for line in lines.values() for _, value in line)
    }


def draw_run(run: Path) -> Path:
    """Draw a run's curves into its folder; return the picture's path. Raises UserError where nothing is logged."""
    shown = panels(read_history(run))
    if not shown:
        raise UserError(f"{run}: nothing to draw yet; it has logged no values")
    from matplotlib.figure import Figure

    rows = (len(shown) + 1) // 2
    figure = Figure(figsize=(12.8, 3.4 * rows), layout="constrained")
    figure.suptitle(str(run))
    if not OF_BATCHES.isdisjoint(shown):
        figure.supxlabel("rewards, shares, odds, KL and the likelihood's loss are means over batches", size="small")
    axis = None
    for place, (name, lines) in enumerate(shown.items(), start=1):
        axis = figure.add_subplot(rows, 2, place, sharex=axis, xlabel="step")
        axis.set_title(PANELS[name], loc="left")
        for colour, (when, points) in zip(("C0", "C1"), lines.items(), strict=True):
            if points:
                axis.plot(*zip(*points, strict=True), ".-", color=colour, label=when)
        axis.legend(frameon=False)
        axis.grid(alpha=0.3)
    picture = BytesIO()
    figure.savefig(picture, format="png")
    write(str(run / "curves.png"), picture.getvalue())
    return run / "curves.png"
