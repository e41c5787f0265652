"""Strategies are made with the guard registered; see `test_required.py` for what they do without it."""

from collections.abc import Callable
from functools import cache

import pytest
from transformers import PreTrainedTokenizerBase

from tests.prompt_strategies.native_templates import Load, native_tokenizer


@pytest.fixture(autouse=True)
def _with_the_guard(guard_on_duty: None) -> None:
    """As in every run of axolotl."""


@pytest.fixture(scope="session")
def native(load: Load) -> Callable[[str], PreTrainedTokenizerBase]:
    """What returns a template's tokenizer by the template's name, always the same one."""
    return cache(lambda name: native_tokenizer(name, load))
