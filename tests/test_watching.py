"""What is seen of a run: a line when it is lost, figures in TensorBoard, and curves."""

from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rabbit_ko.inspection.curves import read_history, series
from tests.attempts import attempt, finish, variant
from tests.conftest import run

pytestmark = pytest.mark.slow

FIGURES = {"loss", "learning_rate", "grad_norm", "tokens_per_second", "peak_memory_gib"}


LOST = {"learning_rate": 1e30, "warmup_steps": 0}


def test_a_run_whose_loss_is_no_number_stops_in_a_line_and_its_losses_can_be_drawn(
    project: Path, tmp_path: Path
) -> None:
    log, lost = tmp_path / "log", tmp_path / "lost"
    config = variant(project, "sft", str(lost))
    assert finish(attempt(project, config, log, logging_steps=1, **LOST)) == 1
    last = log.read_text().splitlines()[-1]
    assert "lost.yaml: loss is nan, at step " in last
    assert last.endswith("lower learning_rate or lengthen the warmup, and start afresh with FRESH=1")
    assert not (lost / "run.json").exists()
    assert 1 < len(series(read_history(lost), "loss")) < 10


def test_a_run_that_is_lost_between_two_logs_is_no_finished_run(project: Path, tmp_path: Path) -> None:
    log, lost = tmp_path / "log", tmp_path / "lost"
    options = {"logging_steps": 50, "max_steps": 4, "eval_strategy": "no"}
    assert finish(attempt(project, variant(project, "sft", str(lost)), log, **options, **LOST)) == 1
    assert "lost.yaml: train_loss is nan, at step 4" in log.read_text().splitlines()[-1]
    assert not (lost / "run.json").exists()


@pytest.mark.parametrize(
    ("stage", "figures"), [("sft", FIGURES), ("dpo", FIGURES | {"rewards/margins", "rewards/accuracies"})]
)
def test_tensorboard_has_the_figures_of_a_run(project: Path, stage: str, figures: set[str]) -> None:
    events = EventAccumulator(str(project / "runs/smoke" / stage / "tensorboard")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {f"train/{figure}" for figure in figures} | {"eval/loss"} <= tags
    assert all(event.value > 0 for event in events.Scalars("train/tokens_per_second"))


def test_make_curves_draws_every_stage(project: Path) -> None:
    drawn = run(project, "make", "curves", "--assume-old=.venv/.ready").stdout.split()
    assert drawn == [f"runs/smoke/{stage}/curves.png" for stage in ("sft", "dpo")]
    for picture in drawn:
        with Image.open(project / picture) as image:
            assert image.format == "PNG"
