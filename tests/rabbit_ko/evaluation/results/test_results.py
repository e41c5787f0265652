"""The table, its CSV and its chart say what the result files say, and the files are whole or not there."""

import csv
import errno
import json
import os
import subprocess
import sys
import warnings
from io import BytesIO, StringIO
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from rabbit_ko.evaluation.results.__main__ import results
from rabbit_ko.evaluation.results.chart import draw, label
from rabbit_ko.evaluation.results.files import to_csv
from rabbit_ko.evaluation.results.markdown import render
from rabbit_ko.evaluation.results.table import Row, make_table
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.results.measured import BOOLQ, make_stale, put_results
from tests.rabbit_ko.evaluation.results.result_folder import put_result, retrain

GOLDEN = Path(__file__).parent / "golden"
FILES = ("results.csv", "results.md", "results.png")


@pytest.fixture
def measured(recipe: Path) -> Path:
    """The recipe with results, one of them stale."""
    put_results()
    make_stale()
    return recipe / "runs/mine/eval"


def test_the_table_is_the_golden_one(measured: Path) -> None:
    assert render(make_table("mine")) == (GOLDEN / "results.md").read_text(encoding="utf-8")


def test_the_csv_has_every_figure_of_every_file_and_no_other(measured: Path) -> None:
    rows = list(csv.DictReader(StringIO(to_csv(make_table("mine")))))
    found = {(row["stage"], row["suite"], row["task"], row["metric"]): row for row in rows}
    files = [json.loads(file.read_text(encoding="utf-8")) for file in measured.glob("*/*.json")]
    scores = [(result, score) for result in files for score in result["scores"]]
    assert len(rows) == len(found) == len(scores) > 20
    for result, score in scores:
        row = found[result["stage"], result["task"], score["task"], score["metric"]]
        assert float(row["value"]) == score["value"]
        assert row["stderr"] == ("" if score["stderr"] is None else repr(score["stderr"]))
        assert (int(row["items"]), int(row["missing"])) == (score["items"], score["missing"])
        assert row["fingerprint"] == result["model"]["fingerprint"]


def test_the_csv_says_how_stages_were_compared(measured: Path) -> None:
    rows = list(csv.DictReader(StringIO(to_csv(make_table("mine")))))
    boolq = {row["stage"]: row for row in rows if row["task"] == "kobest_boolq"}
    assert boolq["base"]["compared_with"] == boolq["base"]["difference"] == ""
    assert (boolq["sft"]["compared_with"], boolq["sft"]["exceeds_chance"]) == ("base", "True")
    assert float(boolq["sft"]["difference"]) == (sum(BOOLQ["sft"]) - sum(BOOLQ["base"])) / 40
    assert 0 < float(boolq["sft"]["low"]) < 0.5 < float(boolq["sft"]["high"]) < 1
    assert (boolq["dpo"]["compared_with"], boolq["dpo"]["exceeds_chance"]) == ("sft", "False")


def test_without_sft_dpo_is_compared_with_the_base(measured: Path) -> None:
    Path("axolotl_configs/mine/sft.yaml").unlink()
    row = next(row for row in make_table("mine").rows if row.task == "kobest_boolq")
    assert row.comparisons["dpo"].before == "base"


def test_the_chart_is_a_png_whose_letters_every_font_has(measured: Path) -> None:
    table = make_table("mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(BytesIO(draw(table)))
    assert image.format == "PNG"
    assert image.width > 1_000
    labels = [label(row) for row in table.rows]
    assert all(text.isascii() for text in labels)
    assert len(set(labels)) == len(labels)


def test_a_chart_of_nothing_says_so(recipe: Path) -> None:
    assert Image.open(BytesIO(draw(make_table("mine")))).format == "PNG"


def test_a_category_keeps_its_strategy_on_the_chart() -> None:
    assert label(Row("logickor-1-shot", "추론", "single")) == "1-shot\nreasoning\nsingle"
    assert label(Row("kobest", "kobest_copa", "acc")) == "kobest_copa\nacc"


def run_results(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in the working directory."""
    command = [sys.executable, "-m", "rabbit_ko.evaluation.results", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(PYTHONPATH=str(ROOT)))


def test_the_command_prints_the_table_and_writes_three_files(measured: Path) -> None:
    result = run_results("mine")
    assert result.returncode == 0, result.stderr
    expected = (GOLDEN / "results.md").read_text(encoding="utf-8")
    assert result.stdout == expected
    assert (measured / "results.md").read_text(encoding="utf-8") == expected
    assert sorted(file.name for file in measured.iterdir() if file.is_file()) == list(FILES)
    assert all(str(Path("runs/mine/eval") / name) in result.stderr for name in FILES)


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["mine"], 1, "error: runs/mine/eval: no results; run `make eval RECIPE=mine STAGE=base`, then the same for"),
        (["none"], 1, "error: axolotl_configs/none: no such recipe\n"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_is_missing_is_one_line(recipe: Path, arguments: list[str], status: int, expected: str) -> None:
    result = run_results(*arguments)
    assert result.returncode == status
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert not (recipe / "runs/mine/eval").exists()


def test_a_full_disk_is_one_line_and_leaves_the_old_files(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_results("mine").returncode == 0
    before = {name: (measured / name).read_bytes() for name in FILES}
    put_result("sft", "ifeval", [])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/mine/eval")

    monkeypatch.setattr("rabbit_ko.evaluation.results.files.write", full)
    result = CliRunner().invoke(_app(), ["mine"])
    assert (result.exit_code, result.stderr) == (1, "error: runs/mine/eval: No space left on device\n")
    assert {name: (measured / name).read_bytes() for name in FILES} == before


def test_a_result_of_an_earlier_model_names_the_command_that_measures_again(measured: Path) -> None:
    retrain("sft")
    text = render(make_table("mine"))
    advice = "stale, measured on an earlier model of this stage; measure it again:"
    assert f"† sft gsm8k: {advice} `python -m rabbit_ko.evaluation.harness`" in text


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(results)
    return app
