"""Caches follow the source of the strategies."""

import pytest
from axolotl.utils.dict import DictDefault
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from prompt_strategies import preferences, qir, qir_dpo, sft


def test_datasets_own_cache_key_follows_the_source(
    smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = DictDefault({"sequence_len": 1024, "rl": "dpo"})

    def keys() -> tuple[str, str]:
        return Hasher.hash(qir.load(smoke_tokenizer, cfg).tokenize_prompt), Hasher.hash(qir_dpo(cfg)[0])

    before = keys()
    assert keys() == before
    monkeypatch.setattr(sft, "source_fingerprint", lambda: "other source")
    monkeypatch.setattr(preferences, "source_fingerprint", lambda: "other source")
    assert all(old != new for old, new in zip(before, keys(), strict=True))
