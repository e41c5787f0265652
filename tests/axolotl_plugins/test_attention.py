"""`attn_implementation: auto` takes what the GPU supports and the installation has."""

from functools import partial

import pytest
import torch
from axolotl.utils.schemas.enums import ATTN_IMPLS_SUPPORTING_PACKING

from axolotl_plugins.checks import speed
from axolotl_plugins.checks.speed import BY_GENERATION, FALLBACK, INSTALLED, best_attention

FLASH = ("flash_attention_2", "flash_attention_3", "flash_attention_4")


def on(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], *installed: str) -> str:
    """The choice on a GPU, with these backends installed."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(speed, "INSTALLED", {name: partial(bool, name in installed) for name in FLASH})
    return best_attention()


@pytest.mark.parametrize(
    ("capability", "installed", "chosen"),
    [
        ((8, 0), ("flash_attention_2",), "flash_attention_2"),
        ((8, 9), FLASH, "flash_attention_2"),
        ((8, 0), (), "sdpa"),
        ((9, 0), FLASH, "flash_attention_4"),
        ((9, 0), ("flash_attention_2", "flash_attention_3"), "flash_attention_3"),
        ((9, 0), ("flash_attention_2",), "flash_attention_2"),
        ((10, 0), FLASH, "flash_attention_4"),
        ((10, 0), ("flash_attention_2",), "sdpa"),
        ((12, 0), FLASH, "sdpa"),
        ((7, 5), FLASH, "sdpa"),
    ],
)
def test_the_choice_follows_gpu_and_installation(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], installed: tuple[str, ...], chosen: str
) -> None:
    assert on(monkeypatch, capability, *installed) == chosen


def test_without_a_gpu_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "INSTALLED", {})
    assert best_attention() == "sdpa"


def test_every_choice_keeps_packed_rows_apart() -> None:
    choices = {name for names in BY_GENERATION.values() for name in names}
    assert choices == INSTALLED.keys() <= ATTN_IMPLS_SUPPORTING_PACKING
    assert FALLBACK == "sdpa"


def test_what_is_not_installed_here_is_found_missing() -> None:
    assert not INSTALLED["flash_attention_3"]()
    assert not INSTALLED["flash_attention_4"]()
