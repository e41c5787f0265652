"""The trainer of the fast DPO stage: the reference's log-probabilities are those that training would compute."""

import gc
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from axolotl.core.trainers.dpo.trainer import AxolotlDPOTrainer
from transformers import LlamaConfig, LlamaForCausalLM
from trl import DPOTrainer

from axolotl_plugins.dpo_trainer import FastDPOTrainer

LENGTH = 512


@pytest.fixture
def trainer() -> Any:
    """The trainer without its set-up, which needs a dataset and a run."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4
    )
    made = FastDPOTrainer.__new__(FastDPOTrainer)
    made.model = LlamaForCausalLM(config).to(torch.bfloat16).eval()
    made.ref_model = None
    made.accelerator = Accelerator(cpu=True)
    made.args = SimpleNamespace(gradient_checkpointing_kwargs=None)
    made.ld_alpha = None
    made.use_liger_kernel = False
    return made


@pytest.fixture
def pair() -> dict[str, torch.Tensor]:
    """A chosen and a rejected answer behind the same first token."""
    ids = torch.randint(0, 256, (2, LENGTH), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[:, 0] = 0
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": mask}


def exact(trainer: Any, pair: dict[str, torch.Tensor]) -> torch.Tensor:
    """The log-probabilities of both answers, from the same weights and logits, summed in float32."""
    with torch.no_grad():
        logits = trainer.model(input_ids=pair["input_ids"]).logits.float()
    tokens = logits[:, :-1].log_softmax(-1).gather(-1, pair["input_ids"][:, 1:, None]).squeeze(-1)
    return tokens.sum(1)


def test_reference_log_probabilities_are_exact_with_weights_in_bf16(
    trainer: Any, pair: dict[str, torch.Tensor]
) -> None:
    found = torch.cat(trainer.compute_ref_log_probs(trainer.model, pair))
    assert found.dtype == torch.float32
    # Near the sum of some -2,800, bf16 has only every sixteenth number.
    torch.testing.assert_close(found, exact(trainer, pair), rtol=1e-4, atol=0)


def test_trl_s_own_are_rounded_to_bf16(trainer: Any, pair: dict[str, torch.Tensor]) -> None:
    found = torch.cat(DPOTrainer.compute_ref_log_probs(trainer, trainer.model, pair))
    assert found.dtype == torch.bfloat16
    # Sums of some 2,800 stand 16 apart in bf16.
    assert (found.float() - exact(trainer, pair)).abs().max() > 1


def test_a_step_does_not_collect_garbage(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def collect() -> int:
        raise AssertionError("garbage was collected")

    monkeypatch.setattr(DPOTrainer, "training_step", lambda *_: torch.tensor(0.5))
    monkeypatch.setattr(gc, "collect", collect)
    assert trainer.training_step(trainer.model, {}).item() == 0.5
    if "gc.collect" in inspect.getsource(AxolotlDPOTrainer):
        with pytest.raises(AssertionError, match="garbage"):
            AxolotlDPOTrainer.training_step(trainer, trainer.model, {})
