"""Options for speed that do harm or nothing are refused in one line, and the others are let through."""

from pathlib import Path
from typing import Any

import pytest
import trl

from axolotl_plugins.checks.speed import check_speed
from rabbit_ko.errors import UserError
from tests.axolotl_plugins.test_guard import recipe as recipe
from tests.axolotl_plugins.test_guard import rewrite
from tests.stages import load_stage

PACKED = {"sample_packing": True, "micro_batch_size": 2}
LIGER_LOSS = {"rl": "dpo", "dpo_use_liger_kernel": True}


@pytest.mark.parametrize(
    ("config", "processes", "message"),
    [
        (
            PACKED,
            1,
            "sample_packing: with attn_implementation not set, rows that share a sequence would see each other",
        ),
        ({**PACKED, "attn_implementation": "fp8"}, 1, "sample_packing: with attn_implementation fp8"),
        ({**PACKED, "attn_implementation": "org/kernel"}, 1, "sample_packing: with attn_implementation org/kernel"),
        (
            {**PACKED, "attn_implementation": "flash_attention_2", "multipack_real_batches": True},
            1,
            "multipack_real_batches: FlashAttention finds the rows of a sequence only in batches of one",
        ),
        ({**PACKED, "attn_implementation": "auto", "multipack_real_batches": True}, 1, "multipack_real_batches: "),
        ({"liger_rope": True, "lora_o_kernel": True}, 1, "liger_rope: does nothing"),
        ({"liger_glu_activation": True, "lora_mlp_kernel": True}, 1, "liger_glu_activation: does nothing"),
        (
            {"rl": "dpo", "liger_fused_linear_cross_entropy": True},
            1,
            "liger_fused_linear_cross_entropy: preferences",
        ),
        ({"rl": "dpo", "lora_qkv_kernel": True}, 1, "lora_qkv_kernel: fails with a reference"),
        ({"rl": "dpo", "dpo_padding_free": True}, 1, "dpo_padding_free: TRL ignores it"),
        (
            {**LIGER_LOSS, "precompute_ref_log_probs": True},
            1,
            "dpo_use_liger_kernel: TRL's does not take precomputed",
        ),
        (LIGER_LOSS, 2, "dpo_use_liger_kernel: TRL calls the model past DDP, so no gradient would be shared"),
    ],
)
def test_harmful_or_idle_options_are_one_line(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], processes: int, message: str
) -> None:
    monkeypatch.setattr(trl.DPOTrainer, "_compute_loss_liger", None, raising=False)
    with pytest.raises(UserError) as error:
        check_speed(config, processes)
    assert str(error.value).startswith(message)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("config", "processes"),
    [
        ({**PACKED, "attn_implementation": "auto"}, 1),
        ({**PACKED, "attn_implementation": "sdpa", "multipack_real_batches": True}, 1),
        ({**PACKED, "attn_implementation": "kernels-community/flash-attn3@main"}, 1),
        ({**PACKED, "flash_attention": True}, 1),
        ({"sample_packing": False}, 1),
        ({"liger_rope": True, "liger_glu_activation": True, "rl": "dpo"}, 8),
        ({"rl": "dpo", "precompute_ref_log_probs": True}, 8),
        (LIGER_LOSS, 1),
        ({**LIGER_LOSS, "deepspeed": "axolotl_configs/deepspeed/zero2.json"}, 2),
        ({**LIGER_LOSS, "fsdp_config": {"reshard_after_forward": True}}, 2),
    ],
)
def test_what_works_is_let_through(config: dict[str, Any], processes: int) -> None:
    check_speed(config, processes)


def test_the_guard_stops_a_stage_before_axolotl_passes_over_it(recipe: Path) -> None:
    path = rewrite(recipe / "smoke" / "sft.yaml", sample_packing=True, attn_implementation=None)
    with pytest.raises(SystemExit, match="sample_packing: with attn_implementation not set"):
        load_stage(path)


def test_keys_of_a_plugin_are_known_only_where_it_is_named(recipe: Path) -> None:
    load_stage(recipe / "aog-8b-fast" / "sft.yaml")
    path = rewrite(recipe / "smoke" / "sft.yaml", liger_rms_norm=True)
    with pytest.raises(SystemExit, match="liger_rms_norm: unknown key"):
        load_stage(path)


def test_lora_kernels_find_their_place_in_llama_and_keep_its_own_rope(
    smoke_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from axolotl.monkeypatch.lora_kernels import patch_self_attn_lora
    from transformers.models.llama import modeling_llama

    attention, own = modeling_llama.LlamaAttention, modeling_llama.apply_rotary_pos_emb
    monkeypatch.setattr(attention, "forward", attention.forward)
    monkeypatch.setattr(attention, "_original_forward", None, raising=False)
    del attention._original_forward
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", own)
    cfg = load_stage(Path("axolotl_configs/smoke/sft.yaml"), lora_qkv_kernel=True, lora_o_kernel=True)
    patch_self_attn_lora(cfg)
    # What the Liger plugin does for liger_rope, which axolotl calls after its own patches.
    modeling_llama.apply_rotary_pos_emb = object()
    assert attention.forward.__name__ == "axolotl_attn_forward"
    assert attention.forward.__globals__["apply_rotary_pos_emb"] is own
