"""A stage's YAML that cannot be used is refused in one line before axolotl starts."""

from pathlib import Path

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.recipes import read_config
from tests.conftest import ROOT


@pytest.mark.parametrize("path", sorted(ROOT.glob("axolotl_configs/*/[sd][fp][to].yaml")), ids=str)
def test_every_stage_names_the_guard(path: Path) -> None:
    read_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base_model: [", "not valid YAML: .*line 2"),
        ("just words", "must hold `key: value` lines"),
        ("base_model: x", "add `- axolotl_plugins.guard.Guard` under `plugins:`"),
        (None, "no such file"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "sft.yaml"
    if text:
        path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_config(path)
    assert len(str(error.value).splitlines()) == 1
