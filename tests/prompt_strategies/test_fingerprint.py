"""Caches follow the source of the strategies."""

from types import SimpleNamespace

import pytest
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from prompt_strategies import dpo, qir, qir_dpo, sft


def test_datasets_own_cache_key_follows_the_source(
    smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = SimpleNamespace(sequence_len=1024)

    def keys() -> tuple[str, str]:
        return Hasher.hash(qir.load(smoke_tokenizer, cfg).tokenize_prompt), Hasher.hash(qir_dpo(cfg)[0])

    before = keys()
    assert keys() == before
    monkeypatch.setattr(sft, "source_fingerprint", lambda: "other source")
    monkeypatch.setattr(dpo, "source_fingerprint", lambda: "other source")
    assert all(old != new for old, new in zip(before, keys(), strict=True))
