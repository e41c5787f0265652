"""What a layer keeps for its backward pass is what autograd saves, counted to the byte."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from axolotl_plugins.processes import Batch
from rabbit_ko.planning.memory import kept_bytes, layer_bytes, logits_bytes
from rabbit_ko.planning.stage import ModelShape
from tests.rabbit_ko.planning.stages import TINY, stage

ROWS, LENGTH, RANK = 3, 40, 8


def saved(shape: ModelShape, layers: int, rank: int | None) -> int:
    """The bytes that autograd keeps of a padded batch in bf16, weights aside."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        shape.model_type,
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        attn_implementation="sdpa",
    )
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    if rank:
        model = get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear"))
        model.enable_input_require_grads()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    mask = torch.ones(ROWS, LENGTH, dtype=torch.long)
    mask[0, LENGTH // 2 :] = 0
    ids = torch.randint(0, shape.vocab_size, mask.shape)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    with autocast, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(input_ids=ids, attention_mask=mask, use_cache=False)
    assert output.logits.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_layer_with_lora_keeps_what_the_formula_says(kind: str) -> None:
    shape = TINY.model_copy(update={"model_type": kind})
    tokens, layers = ROWS * LENGTH, 2
    each = (saved(shape, 2 + layers, RANK) - saved(shape, 2, RANK)) / layers
    # Beside what grows with the tokens: the adapters' weights as bf16, a mask, and a scale for each norm.
    adapters = 2 * shape.lora_parameters(RANK) // shape.layers
    heads = shape.heads + shape.kv_heads if shape.has_head_norms else 0
    mask, scales = 2 * ROWS * LENGTH * LENGTH, (2 + heads) * 4 * tokens
    assert each == tokens * layer_bytes(stage(shape=shape, rank=RANK)) + adapters + mask + scales


def test_with_checkpointing_a_layer_keeps_its_input_alone() -> None:
    assert kept_bytes(stage(shape=TINY, checkpointing=True)) == TINY.layers * 2 * TINY.hidden_size


def test_kernels_keep_less() -> None:
    plain = layer_bytes(stage())
    for option in ("lora_kernels", "fused_norm", "fused_glu", "grouped_attention"):
        assert layer_bytes(stage(**{option: True})) < plain
    assert layer_bytes(stage(dropout=True)) > plain


@pytest.mark.parametrize(("tokens", "chunk"), [(8192, 256), (4096, 128), (1000, 32)])
def test_liger_s_loss_holds_the_logits_of_one_chunk(tokens: int, chunk: int) -> None:
    fused = stage(batch=Batch(1, 1), sequence_len=tokens, fused_loss=True)
    assert logits_bytes(fused) == 2 * chunk * fused.shape.vocab_size + 2 * tokens * fused.shape.hidden_size
