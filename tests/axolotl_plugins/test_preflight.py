"""The base of a stage: where it is looked for, and its special tokens, before anything long starts."""

import json
import re
from pathlib import Path

import pytest
from axolotl.utils.dict import DictDefault
from transformers import PreTrainedTokenizerBase

from axolotl_plugins.checks.base_model import (
    check_base_is_reachable,
    check_special_tokens,
    looks_like_a_path,
    name_base_absolutely,
)
from rabbit_ko.errors import UserError
from tests.stages import save_base


def test_a_base_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"sft.yaml: base_model org/none is no folder here, .*hf auth login") as error:
        check_base_is_reachable(Path("sft.yaml"), "org/none")
    assert len(str(error.value).splitlines()) == 1


def test_a_local_base_is_not_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_base_is_reachable(Path("sft.yaml"), str(tmp_path))
    (tmp_path / "base").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    check_base_is_reachable(Path("sft.yaml"), "~/base")


@pytest.mark.parametrize("base", ["~/none", "./none", "/none", "models/llama/none", "../none"])
def test_a_path_that_is_not_there_is_not_asked_for_on_the_hub(base: str) -> None:
    assert looks_like_a_path(base)
    with pytest.raises(UserError, match=f"^sft.yaml: base_model: {base}: no such folder$"):
        check_base_is_reachable(Path("sft.yaml"), base)
    assert not looks_like_a_path("org/name")


def special_tokens_said(base: Path, **tokens: str) -> list[str]:
    """What is said of special tokens."""
    said: list[str] = []
    check_special_tokens(DictDefault({"base_model": str(base), "special_tokens": tokens}), said.append)
    return said


def test_special_tokens_that_the_base_has_are_no_matter(
    tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    save_base(tmp_path, smoke_tokenizer)
    assert special_tokens_said(tmp_path, eos_token="<|eot_id|>", pad_token="<|finetune_right_pad_id|>") == []
    check_special_tokens(DictDefault({"base_model": "no/base"}), print)


def test_an_eos_token_that_the_base_does_not_have_is_refused_with_the_one_that_it_stops_at(
    tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    save_base(tmp_path, smoke_tokenizer)
    for name, token, advice in (("eos", "<|im_end|>", "; it stops at <|end_of_text|>"), ("unk", "<unk>", "")):
        expected = f"special_tokens.{name}_token: {token} is not in this base's vocabulary{advice}"
        with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
            special_tokens_said(tmp_path, **{f"{name}_token": token})


def test_a_new_pad_token_is_said_to_make_the_adapter_larger(
    tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    save_base(tmp_path, smoke_tokenizer)
    [line] = special_tokens_said(tmp_path, pad_token="[PAD]")
    assert "[PAD] is new to this base's vocabulary, so the adapter will hold whole embeddings" in line


def test_an_adapter_names_a_base_that_is_a_folder_by_its_whole_path(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "runs/base").mkdir(parents=True)
    for base, named in (("runs/base", str(in_tmp / "runs/base")), ("org/name", "org/name")):
        (in_tmp / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": 8}))
        name_base_absolutely(in_tmp)
        assert json.loads((in_tmp / "adapter_config.json").read_text()) == {"base_model_name_or_path": named, "r": 8}
