"""Both sides of a pair train on the same rows, and what is measured outlives what fails after it."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.manifest import MANIFEST
from rabbit_ko.benchmarks import training_setup, training_speed
from rabbit_ko.benchmarks.training_setup import Bench, make_base, prepare_rows, run_logged
from rabbit_ko.benchmarks.training_speed import Steps, Trained, built_data, result_of
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from rabbit_ko.planning.model_shape import read_shape
from rabbit_ko.planning.stage import read_stage
from rabbit_ko.planning.work import count_rows, describe_rows
from tests.conftest import ROOT

STEPS = Steps([9.0, 2.0], [1, 9_000], [1, 5_000], [1, 2_000], [32] * 2, [], [], "GPU X", 2**30)
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
    monkeypatch.setattr(training_setup, "take_rows", lambda data, *_: taken.append(str(data)))
    monkeypatch.setattr(training_setup, "generate_rows", lambda *_: taken.append("generated"))
    monkeypatch.setattr(training_setup, "write_rows", lambda *_: None)
    bench = Bench(recipes, steps=2, warmup=1, small=False)
    data = built_data(PAIR, bench)
    said = [prepare_rows(read_stage(path), range(200_000), bench, data) for path in PAIR]
    assert taken == [source or "generated"] * 2
    assert said[0] == said[1]
    assert built_data(PAIR, Bench(recipes, 2, 1, small=True)) is None


def measured(path: Path, bench: Bench, data: Path | None) -> Trained:
    """A measurement that takes no time."""
    stage = read_stage(path)
    return result_of(stage, describe_rows(stage, [], count_rows(stage)), STEPS, bench, "made up", [])


def bench_train(*arguments: str) -> Any:
    """Run `rabbit bench` in this process, and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--what", "train", "--steps", "1", "--warmup", "1", "--true-shape", *arguments])
    return ended.value.code


def test_what_is_finished_stays_where_a_later_one_fails(
    recipes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = recipes / "out/rabbit-ko-3b.json"

    def fails(path: Path, bench: Bench, data: Path | None) -> Trained:
        if path.parent.name.endswith("-fast") and path.stem == "sft":
            assert len(json.loads(file.read_text())["results"]) == 1
            raise UserError("x.log: exit 1: OutOfMemoryError: no room")
        return measured(path, bench, data)

    monkeypatch.setattr(training_speed, "measure_stage", fails)
    assert bench_train("--recipe", "rabbit-ko-3b", "--out", str(file.parent)) == 1
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
    monkeypatch.setattr(training_speed, "measure_stage", fails)
    assert bench_train("--recipe", "aog-8b", "--stage", "sft", "--out", ".") == 1
    assert Path("aog-8b.json").read_text() == "before"


def test_a_process_that_fails_is_named_by_its_last_error(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 1, small=True)
    code = "import sys; sys.stderr.write('ValueError: early\\nMemoryError: no room\\nbye\\n'); sys.exit(3)"
    with pytest.raises(UserError, match=r"x\.log: exit 3: MemoryError: no room; read that log$"):
        run_logged("x", [sys.executable, "-c", code], bench)


def test_a_recipe_without_a_fast_variant_is_told_so_in_one_line(
    recipes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench_train("--recipe", "aog-8b-qlora") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: axolotl_configs: no sft.yaml and no dpo.yaml both in aog-8b-qlora and in")
    assert len(said.splitlines()) == 1


def test_a_small_base_has_the_small_shape(recipes: Path) -> None:
    (recipes / "dataset_builders").symlink_to(ROOT / "dataset_builders")
    path, folder = Path("axolotl_configs/aog-8b/sft.yaml"), recipes / "base"
    make_base(path, folder, small=True)
    assert read_shape(folder / "config.json").layers == 2
