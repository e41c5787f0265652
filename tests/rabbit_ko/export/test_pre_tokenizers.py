"""A tokenizer has llama.cpp's name where it splits text exactly as llama.cpp does under that name, and else none."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.export._pre_tokenizers import pre_tokenizer

DIGITS = r"\p{N}{1,3}"


@pytest.fixture
def saved(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> dict[str, Any]:
    smoke_tokenizer.save_pretrained(tmp_path)
    content: dict[str, Any] = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    return content


def name_of(content: dict[str, Any], folder: Path) -> str | None:
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return pre_tokenizer(folder)


@pytest.mark.parametrize(
    ("tokenizer", "name"),
    [("smoke", "llama-bpe"), ("llama-3", "llama-bpe"), ("llama-3-no-bos", "llama-bpe"), ("qwen3", "qwen2")],
    indirect=["tokenizer"],
)
def test_tokenizers_at_hand_have_the_names_that_llama_cpp_has_for_them(
    tokenizer: PreTrainedTokenizerBase, name: str, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    assert pre_tokenizer(tmp_path) == name


def test_words_of_the_vocabulary_that_are_merged_are_another_pre_tokenizer(
    saved: dict[str, Any], tmp_path: Path
) -> None:
    saved["model"]["ignore_merges"] = False
    assert name_of(saved, tmp_path) == "smaug-bpe"


def test_a_bare_byte_level_is_gpt_2_unless_it_splits_nothing_or_puts_a_space_in_front(
    saved: dict[str, Any], tmp_path: Path
) -> None:
    saved["model"]["ignore_merges"] = False
    bare = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    assert name_of({**saved, "pre_tokenizer": bare}, tmp_path) == "gpt-2"
    assert name_of({**saved, "pre_tokenizer": {**bare, "use_regex": False}}, tmp_path) is None
    assert name_of({**saved, "pre_tokenizer": {**bare, "add_prefix_space": True}}, tmp_path) is None


def _changes(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the smoke tokenizer would be with something else in it, by what that is."""
    split, as_bytes = content["pre_tokenizer"]["pretokenizers"]
    pattern = {"Regex": split["pattern"]["Regex"].replace(DIGITS, r"\p{N}{1,2}")}

    def steps(*steps: dict[str, Any]) -> dict[str, Any]:
        return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}

    return {
        "another pattern": steps({**split, "pattern": pattern}, as_bytes),
        "a string as pattern": steps({**split, "pattern": {"String": " "}}, as_bytes),
        "what is between matches": steps({**split, "invert": True}, as_bytes),
        "matches are removed": steps({**split, "behavior": "Removed"}, as_bytes),
        "another step": steps({"type": "Digits", "individual_digits": True}, split, as_bytes),
        "no bytes": steps(split),
        "a space in front": steps(split, {**as_bytes, "add_prefix_space": True}),
        "split twice": steps(split, {**as_bytes, "use_regex": True}),
        "none": {"pre_tokenizer": None},
        "NFKC": {"normalizer": {"type": "NFKC"}},
        "lower case": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}},
        "bytes for the rest": {"model": {**content["model"], "byte_fallback": True}},
        "no BPE": {"model": {**content["model"], "type": "WordLevel"}},
    }


def test_whatever_is_not_exactly_known_has_no_name(saved: dict[str, Any], tmp_path: Path) -> None:
    assert name_of(saved, tmp_path) == "llama-bpe"
    named = {what: name_of(deepcopy(saved) | change, tmp_path) for what, change in _changes(saved).items()}
    assert named == dict.fromkeys(named)
