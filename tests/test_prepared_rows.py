"""Prepared rows are reused where nothing changed, and made anew after any change that reaches them."""

import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.attempts import attempt, finish
from tests.conftest import run

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A finished project of one's own."""
    shutil.copytree(project, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def train(folder: Path, log: Path) -> str:
    """Train a step; returns what axolotl has said."""
    assert finish(attempt(folder, "axolotl_configs/smoke/sft.yaml", log, max_steps=1)) == 0
    return log.read_text(encoding="utf-8")


def prepared(folder: Path) -> set[Path]:
    """The folders of prepared rows."""
    files = folder.glob("runs/smoke/sft/prepared/*/*/dataset_info.json")
    return {file.parent.relative_to(folder) for file in files if "raw" not in file.parts}


def test_prepared_rows_are_reused_and_follow_a_row_and_a_character_of_the_template(
    copy: Path, tmp_path: Path
) -> None:
    first = prepared(copy)
    assert "Loading prepared dataset from disk" in train(copy, tmp_path / "first.log")
    assert prepared(copy) == first

    with (copy / "axolotl_configs/smoke/data.yaml").open("a", encoding="utf-8") as config:
        config.write("system_prompt: 짧게 답하세요.\n")
    run(copy, "make", "data")
    assert train(copy, tmp_path / "second.log").count("Unable to find prepared dataset") >= 2
    second = prepared(copy)
    assert len(second - first) == 2

    template = copy / "prompt_strategies/template.py"
    template.write_text(template.read_text().replace("### {response}:", "### {response}!", 1))
    run(copy, "make", "sft", "ARGS=--max-steps=1")
    said = (copy / "runs/smoke/sft/log.txt").read_text(encoding="utf-8")
    assert said.count("Unable to find prepared dataset") >= 2
    assert len(prepared(copy) - second) == 2


def test_a_guard_that_cannot_be_imported_stops_the_run(copy: Path) -> None:
    guard = copy / "axolotl_plugins/guard.py"
    guard.write_text(guard.read_text() + "\nimport a_module_that_is_not_there\n")
    shutil.rmtree(copy / "runs/smoke/sft")
    command = [".venv/bin/axolotl", "preprocess", "axolotl_configs/smoke/sft.yaml"]
    result = run(copy, *command, returns=1, AXOLOTL_DO_NOT_TRACK="1", HF_HUB_OFFLINE="1")
    # Axolotl 0.19 logs the import error and goes on, 0.21 stops by itself.
    assert "the guard is not loaded, so nothing would check this run" in result.stderr or "0.19" not in version(
        "axolotl"
    )
    assert prepared(copy) == set()
