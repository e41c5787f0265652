"""The bases of the smoke recipes are the same every time, and appear as a whole or not at all."""

import hashlib
import runpy
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, GenerationConfig

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """The names of the smoke recipe's script."""
    return run_script("smoke")


def run_script(recipe: str) -> dict[str, Any]:
    """The names of a recipe's script."""
    return runpy.run_path(str(ROOT / "axolotl_configs" / recipe / "make_base_model.py"))


def digests(folder: Path) -> dict[str, str]:
    """The hash of each file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_two_bases_are_the_same_bytes(script: dict[str, Any], tmp_path: Path) -> None:
    script["main"](tmp_path / "one")
    script["main"](tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert "model.safetensors" in digests(tmp_path / "one")


def test_the_base_of_smoke_native_has_the_format_of_llama_3_2(script: dict[str, Any], tmp_path: Path) -> None:
    run_script("smoke-native")["main"](tmp_path / "native")
    script["make_tokenizer"]().save_pretrained(tmp_path / "smoke")
    smoke, native = digests(tmp_path / "smoke"), digests(tmp_path / "native")
    assert native["tokenizer.json"] == smoke["tokenizer.json"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "native")
    stops = GenerationConfig.from_pretrained(tmp_path / "native").eos_token_id
    assert tokenizer.convert_ids_to_tokens(stops) == ["<|end_of_text|>", "<|eot_id|>"]
    assert tokenizer.eos_token == "<|eot_id|>"
    assert tokenizer.bos_token == tokenizer.decode(tokenizer("").input_ids) == "<|begin_of_text|>"
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "안녕?"}], tokenize=False)
    assert rendered.startswith(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: "
    )


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
