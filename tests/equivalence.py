"""Measure, in one process, how far options for speed move the loss of the same data at the same weights.

    TRITON_INTERPRET=1 python -m tests.equivalence

Runs in a copy of the project that has trained, on axolotl's own trainers in float32, with the adapters as trained.
Triton's interpreter runs Liger's loss on a CPU. Most measurements are made with a mistake, too, to
show how far it would move the same figure.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from axolotl.cli.config import load_cfg
from axolotl.integrations.base import PluginManager
from axolotl.train import setup_model_and_trainer
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from rabbit_ko.benchmarks.training_speed import LIGER
from rabbit_ko.recipes import GUARD
from tests.attempts import variant
from tests.packed_losses import measure_packing

# Those that a CPU can run; axolotl's for the gated unit asks for CUDA by name.
LORA_KERNELS = {"lora_qkv_kernel": True, "lora_o_kernel": True}
FAST_TRAINER = "axolotl_plugins.dpo_trainer.FastDPOTrainer"
BATCHES, PAIRS = 2, 16


def make_sft(folder: str, **options: Any) -> Any:
    """Return axolotl's trainer for the smoke recipe's SFT, with the adapter that SFT has trained."""
    paths = {"dataset_prepared_path": folder, "lora_model_dir": "runs/smoke/sft"}
    # The guard wants a GPU for kernels that run in Triton's interpreter here.
    with mock.patch("axolotl_plugins.guard.check_machine"):
        cfg = load_cfg(variant(Path(), "sft", folder), **{**paths, "micro_batch_size": 2, **options})
    loaded = PluginManager.get_instance().load_datasets(cfg)
    trainer, *_ = setup_model_and_trainer(cfg, loaded)
    assert trainer.model.dtype == torch.float32
    return trainer


def make_dpo(folder: str, **options: Any) -> Any:
    """Return axolotl's trainer for DPO, with the adapter that DPO has trained put in."""
    cfg = load_cfg(variant(Path(), "dpo", folder), dataset_prepared_path=folder, **options)
    trainer, *_ = setup_model_and_trainer(cfg, PluginManager.get_instance().load_datasets(cfg))
    set_peft_model_state_dict(trainer.model, load_file("runs/smoke/dpo/adapter_model.safetensors"))
    return trainer


def losses_and_gradients(trainer: Any, batches: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each batch's loss in training mode, and the adapter's gradients of all of them in one vector."""
    model = trainer.model.train()
    model.zero_grad()
    losses = []
    for batch in batches:
        loss = trainer.compute_loss(model, dict(batch))
        loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses), torch.cat([weight.grad.flatten() for weight in trained_weights(model)])


def trained_weights(model: Any) -> list[Any]:
    return [weight for _, weight in sorted(model.named_parameters()) if weight.requires_grad]


def compare(found: Any, expected: Any) -> dict[str, float]:
    """Return the largest difference of losses, and that of gradients beside the length of them all."""
    (losses, gradients), (other_losses, other_gradients) = found, expected
    gradient = (gradients - other_gradients).norm() / other_gradients.norm()
    return {"loss": (losses - other_losses).abs().max().item(), "gradient": gradient.item()}


@contextmanager
def counted_layers(model: Any) -> Iterator[list[int]]:
    """Count how often the first decoder layer runs."""
    calls: list[int] = []
    layer = model.get_base_model().model.layers[0]
    handle = layer.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    yield calls
    handle.remove()


def measure_sft(folder: str, between: Callable[[], None]) -> dict[str, Any]:
    """Switch attention, checkpointing and kernels, one by one, on the same batches.

    The kernels come last, behind what is to run `between`: axolotl patches the model's classes for them. So Liger's
    loss comes on top of them.
    """
    plain = make_sft(folder)
    batches = [dict(batch) for batch in islice(plain.get_train_dataloader(), BATCHES)]
    expected = losses_and_gradients(plain, batches)

    def against_plain(trainer: Any) -> dict[str, Any]:
        with counted_layers(trainer.model) as calls:
            difference = compare(losses_and_gradients(trainer, batches), expected)
        return {**difference, "passes": len(calls) / BATCHES}

    found = {
        "plain": {"loss": expected[0].mean().item(), "gradient": expected[1].norm().item()},
        "eager attention": against_plain(make_sft(folder, attn_implementation="eager")),
        "checkpointing": against_plain(make_sft(folder, gradient_checkpointing=True)),
    }
    between()
    kernels = make_sft(folder, **LORA_KERNELS)
    attention = kernels.model.get_base_model().model.layers[0].self_attn
    found["LoRA kernels"] = against_plain(kernels)
    found["LoRA kernels"]["in use"] = [attention.apply_qkv.__name__, attention.apply_o.__name__]
    with halved_adapters():
        found["LoRA kernels, halved"] = against_plain(kernels)
    fused = make_sft(folder, **LORA_KERNELS, plugins=[GUARD, LIGER], liger_fused_linear_cross_entropy=True)
    found["fused loss"] = against_plain(fused)
    _, output = fused.compute_loss(fused.model, dict(batches[0]), return_outputs=True)
    found["fused loss"]["has logits"] = output.logits is not None
    return found


@contextmanager
def halved_adapters() -> Iterator[None]:
    """Let axolotl's kernels read half of each adapter's scale."""
    from axolotl.kernels import lora

    original: Callable[..., Any] = lora.get_lora_parameters

    def halved(module: Any) -> Any:
        weight, bias, quantized, down, up, scale, *rest = original(module)
        return weight, bias, quantized, down, up, scale / 2, *rest

    with mock.patch.object(lora, "get_lora_parameters", halved):
        yield


def measure_dpo(folder: str) -> dict[str, Any]:
    """Compare a reference that ran before training with the one that runs in each step, and the losses with them."""
    live = make_dpo(f"{folder}/live")
    batches = _pairs(live, 8)
    expected = losses_and_gradients(live, batches)
    # In other batches than those before training, so with other padding.
    again = _pairs(live, 4)
    reference = torch.cat([torch.stack(live.compute_ref_log_probs(live.model, batch)) for batch in again], 1)
    found: dict[str, Any] = {"loss": expected[0].mean().item()}
    fast = make_dpo(f"{folder}/fast", precompute_ref_log_probs=True, trainer_cls=FAST_TRAINER)
    with_reference = _pairs(fast, 8)
    kept = torch.cat([torch.stack([b["ref_chosen_logps"], b["ref_rejected_logps"]]) for b in with_reference], 1)
    difference = compare(losses_and_gradients(fast, with_reference), expected)
    found["precomputed"] = {**difference, "reference": (kept - reference).abs().max().item()}
    for batch in with_reference:
        batch["ref_chosen_logps"] = batch["ref_chosen_logps"].roll(1)
    found["precomputed, of other rows"] = compare(losses_and_gradients(fast, with_reference), expected)
    return found


def _pairs(trainer: Any, size: int) -> list[Any]:
    rows = [trainer.train_dataset[number] for number in range(PAIRS)]
    return [trainer.data_collator(rows[start : start + size]) for start in range(0, len(rows), size)]


def main() -> None:
    """Print everything as one line of JSON."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:

        def others() -> None:
            found["dpo"] = measure_dpo(f"{scratch}/dpo")
            found["packing"] = measure_packing(
                make_sft(f"{scratch}/packing", sample_packing=True, micro_batch_size=1)
            )

        found["sft"] = measure_sft(f"{scratch}/sft", others)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
