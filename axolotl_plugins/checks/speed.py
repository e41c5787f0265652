"""Options for speed that would break a promise, do nothing, or end in a traceback, as axolotl and TRL are written."""

from typing import Any

from axolotl.utils.schemas.enums import (
    ATTN_IMPLS_SUPPORTING_PACKING,
    ATTN_IMPLS_USING_FLASH_LIB,
    LEGACY_ATTN_FLAG_TO_IMPL,
    attn_impl_base,
)

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.attention import AUTO
from rabbit_ko.errors import UserError
from rabbit_ko.methods import method_of

# For these two, the mask is made from the positions of the rows.
MASKED = ("sdpa", "eager")
# What does nothing beside any of the others.
IDLE = {"liger_rope": ("lora_qkv_kernel", "lora_o_kernel"), "liger_glu_activation": ("lora_mlp_kernel",)}
UNWANTED_IN_DPO = {
    **dict.fromkeys(LORA_KERNELS, "fails in DPO, where axolotl patches the model before it has an adapter"),
    "liger_fused_linear_cross_entropy": "DPO has another loss, so it does nothing",
    "dpo_padding_free": "TRL ignores it since it was rewritten and pads as before",
}


def check_speed(config: dict[str, Any], processes: int) -> None:
    """Raise UserError, in one line, for the first mistake of a stage that runs in so many processes."""
    if config.get("sample_packing"):
        _check_packing(config)
    for key, others in IDLE.items():
        if config.get(key) and any(map(config.get, others)):
            raise UserError(f"{key}: does nothing beside {' or '.join(others)}; take it away")
    if method_of(config).rows == "dpo":
        for key, why in UNWANTED_IN_DPO.items():
            if config.get(key):
                raise UserError(f"{key}: {why}; take it away")
        if config.get("dpo_use_liger_kernel"):
            _check_liger_loss(config, processes)


def _check_packing(config: dict[str, Any]) -> None:
    flags = (name for flag, name in LEGACY_ATTN_FLAG_TO_IMPL.items() if config.get(flag))
    backend = config.get("attn_implementation") or next(flags, None)
    if backend not in (AUTO, *MASKED) and attn_impl_base(backend) not in ATTN_IMPLS_SUPPORTING_PACKING:
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
