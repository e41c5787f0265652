"""Attention for `auto`, and options for speed that would break a promise, do nothing, or end in a traceback."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from axolotl.utils.schemas.enums import (
    ATTN_IMPLS_SUPPORTING_PACKING,
    ATTN_IMPLS_USING_FLASH_LIB,
    LEGACY_ATTN_FLAG_TO_IMPL,
    attn_impl_base,
)
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

from axolotl_plugins import LORA_KERNELS
from rabbit_ko.errors import UserError
from rabbit_ko.methods import method_of

AUTO, FALLBACK = "auto", "sdpa"
# What does nothing beside any of the others.
IDLE = {"liger_rope": ("lora_qkv_kernel", "lora_o_kernel"), "liger_glu_activation": ("lora_mlp_kernel",)}
NO_ADAPTER = "fails with a reference model, for axolotl patches the model before it has an adapter"
UNWANTED_WITH_RL = {
    "liger_fused_linear_cross_entropy": "preferences have another loss, so it does nothing",
    "dpo_padding_free": "TRL ignores it since it was rewritten and pads as before",
}


def best_attention() -> str:
    """Return the first backend of the GPU's generation that is installed; all of them keep packed rows apart."""
    major, _ = torch.cuda.get_device_capability() if torch.cuda.is_available() else (0, 0)
    return next((name for name in BY_GENERATION.get(major, ()) if INSTALLED[name]()), FALLBACK)


def _flash_attention_2() -> bool:
    if is_flash_attn_2_available():
        return True
    try:
        from axolotl.monkeypatch.attention.fa2_hub_kernel import is_fa2_hub_kernel_available
    except ImportError:  # axolotl 0.21 leaves it to transformers
        return bool(is_flash_attn_2_available(kernels_fallback_ok=True))
    return bool(is_fa2_hub_kernel_available())


# By the major number of the compute capability: Ampere and Ada, Hopper, Blackwell.
BY_GENERATION = {
    8: ("flash_attention_2",),
    9: ("flash_attention_4", "flash_attention_3", "flash_attention_2"),
    **dict.fromkeys((10, 11), ("flash_attention_4",)),
}
# Hopper's FlashAttention 3 counts only as a package: the hub's kernel of its name is made for inference.
INSTALLED: dict[str, Callable[[], bool]] = {
    "flash_attention_2": _flash_attention_2,
    "flash_attention_3": is_flash_attn_3_available,
    "flash_attention_4": lambda: bool(import_module("axolotl.monkeypatch.attention.flash_attn_4").fa4_usable()),
}


def check_speed(config: dict[str, Any], processes: int) -> None:
    """Raise UserError, in one line, for the first mistake of a stage that runs in so many processes."""
    if config.get("sample_packing"):
        _check_packing(config)
    for key, others in IDLE.items():
        if config.get(key) and any(map(config.get, others)):
            raise UserError(f"{key}: does nothing beside {' or '.join(others)}; take it away")
    if (method := method_of(config)).rl:
        # The trainers of methods without a reference get a model that has its adapter.
        unwanted = UNWANTED_WITH_RL | (dict.fromkeys(LORA_KERNELS, NO_ADAPTER) if method.has_reference else {})
        for key, why in unwanted.items():
            if config.get(key):
                raise UserError(f"{key}: {why}; take it away")
        if config.get("dpo_use_liger_kernel"):
            _check_liger_loss(config, processes)


def _check_packing(config: dict[str, Any]) -> None:
    flags = (name for flag, name in LEGACY_ATTN_FLAG_TO_IMPL.items() if config.get(flag))
    backend = config.get("attn_implementation") or next(flags, None)
    # For sdpa and eager, the mask is made from the positions of the rows.
    if backend not in (AUTO, "sdpa", "eager") and attn_impl_base(backend) not in ATTN_IMPLS_SUPPORTING_PACKING:
        raise UserError(
            f"sample_packing: with attn_implementation {backend or 'not set'}, rows that share a sequence would see "
            "each other, and axolotl only warns of it; use auto, flash_attention_2, flex_attention or sdpa"
        )
    flash = backend == AUTO or attn_impl_base(backend) in ATTN_IMPLS_USING_FLASH_LIB
    if flash and config.get("multipack_real_batches") and config.get("micro_batch_size", 1) > 1:
        raise UserError(
            "multipack_real_batches: FlashAttention finds the rows of a sequence only in batches of one, so packed "
            "rows would see each other; take it away"
        )


def _check_liger_loss(config: dict[str, Any], processes: int) -> None:
    from trl import DPOTrainer

    if not hasattr(DPOTrainer, "_compute_loss_liger"):
        return  # later versions of TRL no longer compute it in a path of its own
    if config.get("precompute_ref_log_probs"):
        raise UserError("dpo_use_liger_kernel: TRL's does not take precomputed log-probabilities; choose one of them")
    if processes > 1 and not any(map(config.get, ("deepspeed", "fsdp", "fsdp_config"))):
        raise UserError(
            "dpo_use_liger_kernel: TRL calls the model past DDP, so no gradient would be shared and each process "
            "would train an adapter of its own; use zero2 or fsdp2, or precompute_ref_log_probs instead"
        )
