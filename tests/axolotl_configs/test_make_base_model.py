"""The smoke recipe's base is the same every time, and appears whole or not at all."""

import hashlib
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """The script's names."""
    return runpy.run_path(str(ROOT / "axolotl_configs" / "smoke" / "make_base_model.py"))


def digests(folder: Path) -> dict[str, str]:
    """The hash of each file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_bases_are_the_same_bytes(script: dict[str, Any], tmp_path: Path) -> None:
    script["main"](tmp_path / "one")
    script["main"](tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert "model.safetensors" in digests(tmp_path / "one")


def test_a_disk_that_fills_up_leaves_nothing(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", fail)
    monkeypatch.setitem(script["make_model"].__globals__, "pretrain", lambda *_: None)
    with pytest.raises(OSError, match="No space left on device"):
        script["main"](tmp_path / "base")
    assert list(tmp_path.iterdir()) == []
