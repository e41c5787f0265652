"""Options for speed that would break a promise, do nothing, or end in a traceback, as axolotl and TRL are written."""

from collections.abc import Iterator
from typing import Any

from axolotl.utils.schemas.enums import (
    ATTN_IMPLS_SUPPORTING_PACKING,
    ATTN_IMPLS_USING_FLASH_LIB,
    LEGACY_ATTN_FLAG_TO_IMPL,
    attn_impl_base,
)

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.attention import AUTO
from rabbit_ko.methods import method_of

# For these two, the mask is made from the positions of the rows.
MASKED = ("sdpa", "eager")


def find_speed_mistake(config: dict[str, Any], processes: int) -> str | None:
    """Return the first mistake of a stage that runs in so many processes, as one line, or None."""
    return next(_mistakes(config, processes), None)


def _mistakes(config: dict[str, Any], processes: int) -> Iterator[str]:
    if config.get("sample_packing"):
        yield from _packed_rows_see_each_other(config)
    if config.get("liger_rope") and (config.get("lora_qkv_kernel") or config.get("lora_o_kernel")):
        yield "liger_rope: does nothing beside lora_qkv_kernel or lora_o_kernel, which keep the model's; take it away"
    if config.get("liger_glu_activation") and config.get("lora_mlp_kernel"):
        yield "liger_glu_activation: does nothing beside lora_mlp_kernel, which takes its place; take it away"
    if method_of(config).rows == "dpo":
        yield from _in_dpo(config, processes)


def _packed_rows_see_each_other(config: dict[str, Any]) -> Iterator[str]:
    flags = (name for flag, name in LEGACY_ATTN_FLAG_TO_IMPL.items() if config.get(flag))
    backend = config.get("attn_implementation") or next(flags, None)
    if backend != AUTO and backend not in MASKED and attn_impl_base(backend) not in ATTN_IMPLS_SUPPORTING_PACKING:
        yield (
            f"sample_packing: with attn_implementation {backend or 'not set'}, rows that share a sequence would see "
            "each other, and axolotl only warns of it; use auto, flash_attention_2, flex_attention or sdpa"
        )
    flash = backend == AUTO or attn_impl_base(backend) in ATTN_IMPLS_USING_FLASH_LIB
    if flash and config.get("multipack_real_batches") and config.get("micro_batch_size", 1) > 1:
        yield (
            "multipack_real_batches: FlashAttention finds the rows of a sequence only in batches of one, so packed "
            "rows would see each other; take it away"
        )


def _in_dpo(config: dict[str, Any], processes: int) -> Iterator[str]:
    if config.get("liger_fused_linear_cross_entropy"):
        yield "liger_fused_linear_cross_entropy: DPO has another loss, so it does nothing; take it away"
    for kernel in LORA_KERNELS:
        if config.get(kernel):
            yield f"{kernel}: fails in DPO, where axolotl patches the model before it has an adapter; take it away"
    if config.get("dpo_padding_free"):
        yield "dpo_padding_free: TRL ignores it since it was rewritten and pads as before; take it away"
    if config.get("dpo_use_liger_kernel") and _liger_loss_is_apart():
        if config.get("precompute_ref_log_probs"):
            yield "dpo_use_liger_kernel: TRL's does not take precomputed log-probabilities; choose one of them"
        if processes > 1 and not any(config.get(key) for key in ("deepspeed", "fsdp", "fsdp_config")):
            yield (
                "dpo_use_liger_kernel: TRL calls the model past DDP, so no gradient would be shared and each process "
                "would train an adapter of its own; use zero2 or fsdp2, or precompute_ref_log_probs instead"
            )


def _liger_loss_is_apart() -> bool:
    """Tell whether TRL computes Liger's loss in a path of its own, which later versions no longer have."""
    from trl import DPOTrainer

    return hasattr(DPOTrainer, "_compute_loss_liger")
