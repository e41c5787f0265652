"""The curves of a run: what is in them, from where, and what is said where there is nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from axolotl_plugins.resume.checkpoints import STATE_FILE
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from rabbit_ko.inspection.curves import PANELS, draw_run, panels, read_history, series
from tests.stages import ROOT

SFT: list[dict[str, Any]] = [
    {"step": 0, "eval_loss": 3.0},
    {"step": 10, "loss": 2.5, "grad_norm": 0.5, "learning_rate": 1e-4, "tokens_per_second": 100.0},
    {"step": 20, "loss": 2.0, "grad_norm": 0.4, "learning_rate": 5e-5, "tokens_per_second": 110.0},
    {"step": 20, "eval_loss": 2.2},
]
ODD: list[Any] = ["3.0", None, [1], {}, 10**400]
DPO = [{**log, "rewards/margins": 0.1, "eval_rewards/accuracies": 0.9} for log in SFT]


def write_state(folder: Path, history: list[dict[str, Any]]) -> Path:
    """Write a trainer's state."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATE_FILE).write_text(json.dumps({"log_history": history}))
    return folder


def test_a_series_has_each_step_once_in_order() -> None:
    logged = [{"step": 2, "loss": 2}, {"step": 1, "loss": 1}, {"step": 2, "loss": 3}, {"step": 3}]
    assert series(logged, "loss") == [(1, 1.0), (2, 3.0)]


def test_panels_show_what_a_stage_has_logged() -> None:
    shown = panels(SFT)
    assert [PANELS[name] for name in shown] == ["loss", "learning rate", "gradient norm", "tokens per second"]
    assert shown["loss"] == {"training": [(10, 2.5), (20, 2.0)], "evaluation": [(0, 3.0), (20, 2.2)]}
    both = {PANELS[name] for name in panels(DPO)}
    assert {"margin of chosen over rejected", "share of pairs told apart"} <= both


def test_panels_show_a_methods_own_figures_but_none_of_a_term_that_it_does_not_have() -> None:
    orpo = [{"step": 1, "loss": 2.0, "nll_loss": 1.5, "log_odds_ratio": -0.7, "rewards/chosen": -0.2}]
    assert {"loss of likelihood", "log odds ratio", "reward of chosen answers"} <= {
        PANELS[name] for name in panels(orpo)
    }
    simpo = [{"step": 1, "loss": 2.0, "nll_loss": 0.0, "eval_nll_loss": 0, "eval_rewards/rejected": -0.2}]
    assert [*panels(simpo)] == ["loss", "rewards/rejected"]
    assert "kl" in panels([{"step": 1, "kl": 0.0}, {"step": 2, "kl": 0.3}])


@pytest.mark.parametrize("history", [SFT, DPO, SFT[:1]])
def test_the_picture_is_a_png_that_is_not_empty(tmp_path: Path, history: list[dict[str, Any]]) -> None:
    picture = draw_run(write_state(tmp_path / "sft", history))
    assert picture == tmp_path / "sft" / "curves.png"
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20


def test_a_run_that_has_not_ended_is_read_from_its_last_checkpoint(tmp_path: Path) -> None:
    write_state(tmp_path / "checkpoint-9", SFT[:1])
    write_state(tmp_path / "checkpoint-20", SFT)
    (tmp_path / "checkpoint-30").mkdir()
    assert read_history(tmp_path) == SFT
    write_state(tmp_path, DPO)
    assert read_history(tmp_path) == DPO


def curves(capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """Run `rabbit curves`; returns its exit code, and what it says on both streams."""
    with pytest.raises(SystemExit) as ended:
        main(["curves"])
    return ended.value.code, *capsys.readouterr()


def test_what_cannot_be_drawn_is_said_in_one_line(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    assert curves(capsys) == (1, "", "error: runs/smoke: no run in it; run `make sft RECIPE=smoke` first\n")
    write_state(Path("runs/smoke/dpo"), [])
    assert curves(capsys) == (1, "", "error: runs/smoke/dpo: nothing to draw yet; it has logged no values\n")
    (Path("runs/smoke/dpo") / STATE_FILE).write_text('{"log_hist')
    with pytest.raises(UserError, match=f"dpo/{STATE_FILE}: damaged"):
        draw_run(Path("runs/smoke/dpo"))
    write_state(Path("runs/smoke/sft"), SFT)
    code, out, err = curves(capsys)
    assert (code, out) == (0, "runs/smoke/sft/curves.png\n")
    assert "damaged" in err


@pytest.mark.hostile
@pytest.mark.parametrize(
    "log",
    [
        *({"step": 1, "loss": loss} for loss in ODD),
        *({"step": step, "loss": 1.0} for step in ODD),
        {"loss": 1.0},
        {"step": 1, "eval_rewards/margins": "high"},
        {"step": "\ud800", "loss": 1.0},
    ],
    ids=ascii,
)
def test_a_state_whose_values_are_no_numbers_is_one_line(tmp_path: Path, log: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"{STATE_FILE}: log_history: .* is no number.*; copy or download it again"):
        draw_run(write_state(tmp_path, [*SFT, log]))


@pytest.mark.hostile
@pytest.mark.parametrize("history", [None, {}, "x", [1], [None], [[]], [{"step": 1}, "x"]], ids=str)
def test_a_history_of_another_kind_is_one_line(tmp_path: Path, history: Any) -> None:
    write_state(tmp_path, history)
    with pytest.raises(UserError, match=rf"{STATE_FILE}: log_history"):
        read_history(tmp_path)


@pytest.mark.hostile
def test_values_that_are_no_number_are_drawn_as_gaps(tmp_path: Path) -> None:
    odd = [{"step": step, "loss": value} for step, value in ((30, float("nan")), (40, float("inf")), (50, 1e308))]
    assert draw_run(write_state(tmp_path, [*SFT, *odd])).stat().st_size > 10_000


@pytest.mark.hostile
def test_a_picture_is_there_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw_run(write_state(tmp_path, SFT)).read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        draw_run(write_state(tmp_path, DPO))
    assert (tmp_path / "curves.png").read_bytes() == before
