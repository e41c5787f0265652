"""A recipe with a card to write."""

from pathlib import Path

import pytest

from tests.rabbit_ko.publishing.card_folder import make_card_folder


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process asks no hub for a base's license."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def trained(in_tmp: Path) -> Path:
    """A working directory with the recipe, trained on a local base and not measured."""
    make_card_folder()
    return in_tmp
