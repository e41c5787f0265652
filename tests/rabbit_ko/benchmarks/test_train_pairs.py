"""Both sides of a pair train on the same rows, and what is measured outlives what fails after it."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from dataset_builders.manifest import MANIFEST
from rabbit_ko.benchmarks import train
from rabbit_ko.benchmarks.throughput import Steps
from rabbit_ko.benchmarks.train_run import Bench, _result, _rows, _run, built_data
from rabbit_ko.errors import UserError
from rabbit_ko.planning.rows import count_rows, rows_of
from rabbit_ko.planning.stage import read_stage
from tests.conftest import ROOT

STEPS = Steps([9.0, 2.0], [1, 9_000], [1, 5_000], [1, 2_000], [32] * 2, [], [], 1, "GPU X", 2**30)
PAIR = (Path("axolotl_configs/aog-8b/sft.yaml"), Path("axolotl_configs/aog-8b-fast/sft.yaml"))


@pytest.fixture
def recipes(in_tmp: Path) -> Path:
    """A working directory with the recipes and no data."""
    shutil.copytree(ROOT / "axolotl_configs", in_tmp / "axolotl_configs")
    return in_tmp


@pytest.mark.parametrize(
    ("built", "source"),
    [
        ((), None),
        (("aog-8b",), "data/aog-8b"),
        (("aog-8b-fast",), "data/aog-8b-fast"),
        (("aog-8b", "aog-8b-fast"), "data/aog-8b"),
    ],
)
def test_both_sides_of_a_pair_have_one_source(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, built: tuple[str, ...], source: str | None
) -> None:
    for recipe in built:
        (recipes / "data" / recipe).mkdir(parents=True)
        (recipes / "data" / recipe / MANIFEST).touch()
    taken: list[str] = []
    monkeypatch.setattr("rabbit_ko.benchmarks.train_run.take_rows", lambda data, *_: taken.append(str(data)))
    monkeypatch.setattr("rabbit_ko.benchmarks.train_run.write_rows", lambda *_: taken.append("generated"))
    bench = Bench(recipes, steps=2, warmup=1, small=False)
    data = built_data(PAIR, bench)
    said = [_rows(read_stage(path), range(200_000), bench, data)[1] for path in PAIR]
    assert taken == [source or "generated"] * 2
    assert said[0] == said[1]
    assert built_data(PAIR, Bench(recipes, 2, 1, small=True)) is None


def measured(path: Path, bench: Bench, data: Path | None) -> Any:
    """A measurement that takes no time."""
    stage = read_stage(path)
    rows = rows_of(stage, [], count_rows(stage))
    return _result(stage, rows, STEPS, bench, {"rows_measured_on": "made up", "changed": []})


def test_what_is_finished_stays_where_a_later_one_fails(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = recipes / "out/rabbit-ko-3b.json"

    def fails(path: Path, bench: Bench, data: Path | None) -> Any:
        if path.parent.name.endswith("-fast") and path.stem == "sft":
            assert len(json.loads(file.read_text())["results"]) == 1
            raise UserError("x.log: exit 1: OutOfMemoryError: no room")
        return measured(path, bench, data)

    monkeypatch.setattr(train, "measure_stage", fails)
    with pytest.raises(typer.Exit) as ended:
        train.benchmark("rabbit-ko-3b", 1, 1, None, False, None, file.parent, False)
    assert ended.value.exit_code == 1
    content = json.loads(file.read_text())
    assert [(entry["recipe"], entry["stage"]) for entry in content["results"]] == [
        ("rabbit-ko-3b", "sft"),
        ("rabbit-ko-3b", "dpo"),
        ("rabbit-ko-3b-fast", "dpo"),
    ]
    reason = "x.log: exit 1: OutOfMemoryError: no room"
    assert content["failed"] == [{"recipe": "rabbit-ko-3b-fast", "stage": "sft", "reason": reason}]
    said = capsys.readouterr()
    assert "| `rabbit-ko-3b-fast` sft | - | - |" in said.out
    assert f"- `rabbit-ko-3b-fast` sft: failed: {reason}" in said.out
    assert said.err.splitlines()[-1].startswith(f"error: {file}: 1 of 4 failed")


def test_where_all_fail_a_file_from_before_stays(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise UserError("no room")

    Path("aog-8b.json").write_text("before")
    monkeypatch.setattr(train, "measure_stage", fails)
    with pytest.raises(typer.Exit):
        train.benchmark("aog-8b", 1, 1, ["sft"], False, None, Path(), False)
    assert Path("aog-8b.json").read_text() == "before"


def test_a_process_that_fails_is_named_by_its_last_error(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 1, small=True)
    code = "import sys; sys.stderr.write('ValueError: early\\nMemoryError: no room\\nbye\\n'); sys.exit(3)"
    with pytest.raises(UserError, match=r"x\.log: exit 3: MemoryError: no room; read that log$"):
        _run("x", [sys.executable, "-c", code], bench)
