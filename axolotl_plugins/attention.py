"""`attn_implementation: auto`: the fastest attention that this GPU and this installation have."""

from collections.abc import Callable
from typing import Any

import torch
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

from axolotl_plugins.log import LOG

AUTO, FALLBACK = "auto", "sdpa"


def resolve_attention(cfg: Any) -> None:
    """Put the name of a backend in the place of `auto`, and log which."""
    if cfg.get("attn_implementation") == AUTO:
        cfg["attn_implementation"] = best_attention()
        LOG.info("attn_implementation: auto is %s here", cfg["attn_implementation"])


def best_attention() -> str:
    """Return the first backend of the GPU's generation that is installed; all of them keep packed rows apart.

    Hopper's FlashAttention 3 counts only as a package: the kernel that the hub has under its name is made for
    inference. Without a GPU there is nothing to choose.
    """
    if not torch.cuda.is_available():
        return FALLBACK
    major, _ = torch.cuda.get_device_capability()
    return next((name for name in BY_GENERATION.get(major, ()) if INSTALLED[name]()), FALLBACK)


def _flash_attention_2() -> bool:
    if is_flash_attn_2_available():
        return True
    try:
        from axolotl.monkeypatch.attention.fa2_hub_kernel import is_fa2_hub_kernel_available
    except ImportError:  # axolotl 0.21 leaves it to transformers
        return bool(is_flash_attn_2_available(kernels_fallback_ok=True))
    return bool(is_fa2_hub_kernel_available())


def _flash_attention_4() -> bool:
    from axolotl.monkeypatch.attention.flash_attn_4 import fa4_usable

    return bool(fa4_usable())


# By the major number of the compute capability: Ampere and Ada, Hopper, Blackwell.
BY_GENERATION = {
    8: ("flash_attention_2",),
    9: ("flash_attention_4", "flash_attention_3", "flash_attention_2"),
    10: ("flash_attention_4",),
    11: ("flash_attention_4",),
}
INSTALLED: dict[str, Callable[[], bool]] = {
    "flash_attention_2": _flash_attention_2,
    "flash_attention_3": is_flash_attn_3_available,
    "flash_attention_4": _flash_attention_4,
}
