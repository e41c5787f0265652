"""Each example of docs/extending.md is applied to a copy of the project, and its commands run."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, run

pytestmark = pytest.mark.slow


@dataclass
class Example:
    """A section's new files, its patches of files that are there, and its commands."""

    files: dict[str, str]
    patches: list[str]
    commands: str


def read_example(title: str) -> Example:
    """Read the code blocks below a heading of the page."""
    page = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", page.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
    files = [block.partition("\n") for language, block in blocks if language == "python"]
    return Example(
        {path.removeprefix("# "): code for path, _, code in files},
        [block for language, block in blocks if language == "diff"],
        "\n".join(block for language, block in blocks if language == "sh"),
    )


def applied(title: str, project: Path, folder: Path) -> str:
    """Apply an example to a copy of the project, and run its commands; returns what they print."""
    copy = folder / "project"
    shutil.copytree(project, copy, symlinks=True)
    example = read_example(title)
    for path, code in example.files.items():
        assert not (copy / path).exists()
        (copy / path).write_text(code, encoding="utf-8")
    for patch in example.patches:
        command = ["git", "apply", "--recount", "--unidiff-zero", "-"]
        subprocess.run(command, cwd=copy, input=patch, text=True, check=True)
        assert patch.count("\n+") - patch.count("\n-") - patch.count("\n+++") + patch.count("\n---") <= 2
    return run(copy, "bash", "-euc", example.commands, HF_HUB_OFFLINE="1").stdout


def manifest(folder: Path, name: str) -> dict[str, object]:
    """What became of the only source of a data folder."""
    [source] = json.loads((folder / "project/data" / name / "manifest.json").read_text())["sources"]
    return {key: source[key] for key in ("source", "read", "kept", "rejected")}


def test_a_source_is_one_file(project: Path, tmp_path: Path) -> None:
    applied("A source", project, tmp_path)
    said = {"source": "quiz_ko", "read": 3, "kept": 2, "rejected": {"no right choice": 1}}
    assert manifest(tmp_path, "quiz") == said
    rows = pq.read_table(tmp_path / "project/data/quiz/sft").to_pylist()
    assert {row["messages"][-1]["content"] for row in rows} == {"2. 서울", "3. 목성"}


def test_a_gate_is_one_file_and_one_entry(project: Path, tmp_path: Path) -> None:
    applied("A gate", project, tmp_path)
    assert manifest(tmp_path, "faq")["rejected"] == {"too many links": 1}
    [row] = pq.read_table(tmp_path / "project/data/faq/rejected").to_pylist()
    assert (row["reason"], row["evidence"]) == ("too many links", "2 links")


def test_a_template_is_one_entry(project: Path, tmp_path: Path) -> None:
    shown = applied("A template", project, tmp_path)
    assert "### 질문:" in shown
    assert "### 답변:" in shown
    assert "### Question:" not in shown


def test_a_method_is_one_entry(project: Path, tmp_path: Path) -> None:
    shown = applied("A method", project, tmp_path)
    run_file = json.loads((tmp_path / "project/runs/smoke/apo/run.json").read_text())
    assert run_file["config"]["base_model"] == "runs/smoke/sft/merged"
    assert run_file["config"]["dpo_loss_type"] == ["apo_zero"]
    assert re.search(r"^apo +up to date", shown, re.MULTILINE)


def test_an_evaluation_task_is_one_entry(project: Path, tmp_path: Path) -> None:
    shown = applied("An evaluation task", project, tmp_path)
    result = json.loads((tmp_path / "project/runs/smoke/eval/sft/copa_zero.json").read_text())
    assert result["settings"]["shots"] == 0
    assert [score["metric"] for score in result["scores"]] == ["acc"]
    assert "kobest_copa" in shown


def test_a_recipe_is_one_command(project: Path, tmp_path: Path) -> None:
    shown = applied("A recipe", project, tmp_path)
    before, after = (
        json.loads((tmp_path / "project/data" / name / "manifest.json").read_text())["fingerprint"]
        for name in ("smoke", "mine")
    )
    assert before == after
    assert re.search(r"^data +up to date$", shown, re.MULTILINE)
    assert "next: make sft RECIPE=mine" in shown
