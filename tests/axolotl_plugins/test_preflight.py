"""A base model that cannot be had is refused in one line before axolotl starts."""

from pathlib import Path

import pytest

from axolotl_plugins.checks.base_model import check_base_is_reachable
from rabbit_ko.errors import UserError


def test_a_base_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"sft.yaml: base_model org/none is no folder here, .*hf auth login") as error:
        check_base_is_reachable(Path("sft.yaml"), "org/none")
    assert len(str(error.value).splitlines()) == 1


def test_a_local_base_is_not_looked_up(tmp_path: Path) -> None:
    check_base_is_reachable(Path("sft.yaml"), str(tmp_path))
