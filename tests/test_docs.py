"""What the documents show is valid: every `data.yaml` in them is one."""

import re
from pathlib import Path

import pytest

from dataset_builders.gates import Quality
from dataset_builders.recipe import load_config
from tests.conftest import ROOT

CONFIGS = [
    (page.name, block)
    for page in sorted((ROOT / "docs").glob("*.md"))
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    if "sources:" in block
]


@pytest.mark.parametrize(("page", "block"), CONFIGS)
def test_a_config_in_the_documents_is_valid(tmp_path: Path, page: str, block: str) -> None:
    (tmp_path / "data.yaml").write_text(block, encoding="utf-8")
    load_config(tmp_path / "data.yaml")


def test_the_defaults_that_are_shown_are_the_defaults(tmp_path: Path) -> None:
    [shown] = [block for _, block in CONFIGS if "near_duplicates" in block]
    (tmp_path / "data.yaml").write_text(shown, encoding="utf-8")
    assert load_config(tmp_path / "data.yaml").quality == Quality()


def test_each_test_that_the_documents_name_is_there() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", pages)
    assert named
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).exists() or (name and f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert missing == []
