"""No strategy is made where the guard is not loaded, which axolotl itself would only log."""

from types import SimpleNamespace
from typing import Any

import pytest
from axolotl.integrations.base import PluginManager
from transformers import PreTrainedTokenizerBase

from prompt_strategies import iir, iir_dpo, qir, qir_dpo, qir_every_turn

CONFIG = SimpleNamespace(sequence_len=1024)


@pytest.fixture(autouse=True)
def _without_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PluginManager.get_instance(), "plugins", {})


@pytest.mark.parametrize("module", [qir, qir_every_turn, iir])
def test_no_sft_strategy_without_the_guard(module: Any, smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(SystemExit, match="the guard is not loaded"):
        module.load(smoke_tokenizer, CONFIG)


@pytest.mark.parametrize("transform", [qir_dpo, iir_dpo])
def test_no_dpo_transform_without_the_guard(transform: Any) -> None:
    with pytest.raises(SystemExit, match="the guard is not loaded"):
        transform(CONFIG)
