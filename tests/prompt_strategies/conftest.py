"""Strategies are made with the guard registered; see `test_required.py` for what they do without it."""

import pytest


@pytest.fixture(autouse=True)
def _with_the_guard(guard_on_duty: None) -> None:
    """As in every run of axolotl."""
