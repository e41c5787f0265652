"""The table, its CSV and its chart say what the result files say, and the files are whole or not there."""

import csv
import errno
import json
import os
import shutil
import warnings
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from PIL import Image

from rabbit_ko.errors import UserError, printable
from rabbit_ko.evaluation.records import Score
from rabbit_ko.evaluation.results.report import draw, label, render, write_files
from rabbit_ko.evaluation.results.table import Row, make_table
from tests.rabbit_ko.evaluation.rabbit import rabbit
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


def written_csv() -> str:
    """The CSV of the results."""
    write_files(make_table("mine"))
    return (Path("runs/mine/eval") / "results.csv").read_bytes().decode()


def test_the_table_is_the_golden_one(measured: Path) -> None:
    assert render(make_table("mine")) == (GOLDEN / "results.md").read_text(encoding="utf-8")


def test_the_csv_has_every_figure_of_every_file_and_no_other(measured: Path) -> None:
    rows = list(csv.DictReader(StringIO(written_csv())))
    found = {(row["stage"], row["suite"], row["task"], row["metric"]): row for row in rows}
    files = [json.loads(file.read_text(encoding="utf-8")) for file in measured.glob("*/*.json")]
    scores = [(result, score) for result in files for score in result["scores"]]
    assert len(rows) == len(found) == len(scores) > 20
    for result, score in scores:
        row = found[result["stage"], result["task"], score["task"], score["metric"]]
        assert float(row["value"]) == score["value"]
        assert row["stderr"] == ("" if score["stderr"] is None else repr(score["stderr"]))
        assert (int(row["items"]), int(row["missing"])) == (score["items"], score["missing"])
        assert [row["value_low"], row["value_high"]] == [
            "" if score[side] is None else repr(score[side]) for side in ("low", "high")
        ]
        assert row["fingerprint"] == result["model"]["fingerprint"]


@pytest.mark.hostile
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_cell_of_the_csv_is_a_formula_and_numbers_stay_numbers(recipe: Path, start: str) -> None:
    formula = f"{start}cmd|' /C calc'!A1"
    put_result("base", "kobest", [Score(task=formula, metric=formula, value=0.5, stderr=0.1, items=8)], shots=formula)
    put_result("sft", "kobest", [Score(task=formula, metric=formula, value=0.25, stderr=0.1, items=8)], shots=formula)
    rows = list(csv.DictReader(StringIO(written_csv(), newline="")))
    said = f"'{formula}" if start.isprintable() else printable(formula)
    assert {row[name] for row in rows for name in ("task", "metric", "shots")} == {said}
    assert [float(row["difference"] or 0) for row in rows] == [0, -0.25]
    assert not [cell for row in rows for cell in row.values() if cell.startswith(start) and not is_number(cell)]


def is_number(text: str) -> bool:
    """Tell a number from other text."""
    try:
        return bool(float(text)) or True
    except ValueError:
        return False


@pytest.mark.hostile
@pytest.mark.parametrize("change", [{"stage": "../../../elsewhere"}, {"task": "../../elsewhere"}, {"stage": "dpo"}])
def test_a_result_that_says_it_is_of_another_place_is_refused(recipe: Path, change: dict[str, str]) -> None:
    put_result("sft", "kobest", [])
    file = Path("runs/mine/eval/sft/kobest.json")
    file.write_text(json.dumps(json.loads(file.read_bytes()) | change))
    with pytest.raises(UserError, match=r"eval/sft/kobest.json: is of .*; "):
        make_table("mine")


def test_the_csv_says_how_stages_were_compared(measured: Path) -> None:
    rows = list(csv.DictReader(StringIO(written_csv())))
    boolq = {row["stage"]: row for row in rows if row["task"] == "kobest_boolq"}
    assert boolq["base"]["compared_with"] == boolq["base"]["difference"] == ""
    assert (boolq["sft"]["compared_with"], boolq["sft"]["exceeds_chance"]) == ("base", "True")
    assert float(boolq["sft"]["difference"]) == (sum(BOOLQ["sft"]) - sum(BOOLQ["base"])) / 40
    assert 0 < float(boolq["sft"]["low"]) < 0.5 < float(boolq["sft"]["high"]) < 1
    assert (boolq["dpo"]["compared_with"], boolq["dpo"]["exceeds_chance"]) == ("sft", "False")


def before(row: Row, stage: str) -> str | None:
    """The stage that a row's figure was compared with."""
    comparison = row.figures[stage].comparison
    return comparison.before if comparison else None


def test_without_sft_dpo_is_compared_with_the_base(measured: Path) -> None:
    Path("axolotl_configs/mine/sft.yaml").unlink()
    row = next(row for row in make_table("mine").rows if row.task == "kobest_boolq")
    assert before(row, "dpo") == "base"


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


def test_a_category_keeps_its_bench_on_the_chart(measured: Path) -> None:
    labels = {(row.suite, row.task, row.metric): label(row) for row in make_table("mine").rows}
    assert labels["logickor", "추론", "single"] == "logickor\nreasoning\nsingle"
    assert labels["my-bench@org-judge-2-140a96", "요약", "turn 1"] == "my-bench@org-judge-2-140a96\n??\nturn 1"
    assert labels["kobest", "kobest_boolq", "acc"] == "kobest_boolq\nacc"


def test_the_command_prints_the_table_and_writes_three_files(measured: Path) -> None:
    result = rabbit("results", "--recipe", "mine")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (GOLDEN / "results.txt").read_text(encoding="utf-8")
    assert (measured / "results.md").read_text(encoding="utf-8") == (GOLDEN / "results.md").read_text(
        encoding="utf-8"
    )
    assert sorted(file.name for file in measured.iterdir() if file.is_file()) == list(FILES)
    assert sorted(result.stderr.splitlines()) == [str(Path("runs/mine/eval") / name) for name in FILES]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine", "runs/mine/eval: no results; run `make eval RECIPE=mine STAGE=base`, then for other stages"),
        ("none", "RECIPE=none: there is no such recipe"),
    ],
)
def test_what_is_missing_is_one_line(recipe: Path, name: str, expected: str) -> None:
    result = rabbit("results", "--recipe", name)
    assert (result.exit_code, result.stdout) == (2 if "no such recipe" in expected else 1, "")
    assert result.stderr.startswith(f"error: {expected}")
    assert result.stderr.count("\n") == 1
    assert not (recipe / "runs/mine/eval").exists()


def test_the_figures_are_there_as_json_for_a_program(measured: Path) -> None:
    records = json.loads(rabbit("results", "--recipe", "mine", "--json").stdout)
    rows = list(csv.DictReader(StringIO((measured / "results.csv").read_text(encoding="utf-8"))))
    assert [record["value"] for record in records] == [float(row["value"]) for row in rows]


def test_a_method_that_the_recipe_has_a_config_for_is_a_stage_of_its_results(recipe: Path) -> None:
    assert make_table("mine").stages == ("base", "sft", "dpo")
    shutil.copy("axolotl_configs/mine/dpo.yaml", "axolotl_configs/mine/ipo.yaml")
    shutil.copytree("runs/mine/dpo", "runs/mine/ipo")
    for stage, value in {"sft": 0.2, "ipo": 0.8}.items():
        score = Score(task="haerae", metric="acc", value=value, stderr=0.01, items=100)
        put_result(stage, "haerae", [score])
    table = make_table("mine")
    [row] = [row for row in table.rows if row.task == "haerae"]
    assert table.stages == ("base", "sft", "dpo", "ipo")
    assert before(row, "ipo") == "sft"
    assert "| 0.2000 ± 0.0100 | 0.8000 ± 0.0100 ▲ |" in render(table)
    assert Image.open(BytesIO(draw(table))).format == "PNG"


def test_a_round_stands_beside_its_parent_or_any_stage_that_is_named(recipe: Path) -> None:
    shutil.copy("axolotl_configs/mine/dpo.yaml", "axolotl_configs/mine/dpo-2.yaml")
    for stage, value in {"dpo-1": 0.4, "dpo-2": 0.6, "dpo": 0.8}.items():
        if stage != "dpo":
            shutil.copytree("runs/mine/sft", f"runs/mine/{stage}")
        put_result(stage, "haerae", [Score(task="haerae", metric="acc", value=value, stderr=0.01, items=100)])
    shutil.copy("axolotl_configs/mine/dpo.yaml", "axolotl_configs/mine/dpo-1.yaml")

    def compared(*stages: str) -> dict[str, str | None]:
        table = make_table("mine", stages)
        [row] = [row for row in table.rows if row.task == "haerae"]
        return {stage: before(row, stage) for stage in table.stages if stage in row.figures}

    assert make_table("mine").stages == ("base", "sft", "dpo", "dpo-1", "dpo-2")
    assert compared() == {"dpo": None, "dpo-1": None, "dpo-2": "dpo-1"}
    assert compared("dpo", "dpo-2") == {"dpo": None, "dpo-2": "dpo"}
    assert compared("dpo-2", "dpo", "dpo-1") == {"dpo-2": "dpo-1", "dpo": "dpo-2", "dpo-1": "dpo-2"}
    shown = rabbit("results", "--recipe", "mine", "--stages", "dpo, dpo-2")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "0.800 ± 0.010  0.600 ± 0.010 ▼\n" in shown.stdout
    assert not (recipe / "runs/mine/eval/results.md").exists()
    assert "STAGE=dqo: there is no such stage" in rabbit("results", "--recipe", "mine", "--stages", "dqo").stderr


def test_a_full_disk_is_one_line_and_leaves_the_old_files(measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rabbit("results", "--recipe", "mine").exit_code == 0
    before = {name: (measured / name).read_bytes() for name in FILES}
    put_result("sft", "ifeval", [])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/mine/eval")

    monkeypatch.setattr("rabbit_ko.evaluation.results.report.write", full)
    result = rabbit("results", "--recipe", "mine")
    assert (result.exit_code, result.stderr) == (1, "error: runs/mine/eval: No space left on device\n")
    assert {name: (measured / name).read_bytes() for name in FILES} == before


def test_a_result_of_an_earlier_model_names_the_command_that_measures_again(measured: Path) -> None:
    retrain("sft")
    text = render(make_table("mine"))
    advice = "stale, measured on an earlier model of this stage; measure it again:"
    assert f"† sft gsm8k: {advice} `rabbit eval --recipe mine --stage sft --tasks gsm8k`" in text
