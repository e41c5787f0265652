"""The tokens that trainers of pairs count."""

from types import SimpleNamespace
from typing import Any

import torch
from accelerate import Accelerator

from axolotl_plugins.token_count import count_tokens


def test_the_tokens_of_both_answers_are_counted_and_padding_is_not() -> None:
    logged: list[dict[str, float]] = []
    trainer: Any = SimpleNamespace(
        training_step=lambda model, inputs, items=None: torch.tensor(0.5),
        log=lambda logs, start_time=None: logged.append(logs),
        accelerator=Accelerator(cpu=True),
        args=SimpleNamespace(device="cpu"),
    )
    count_tokens(trainer)
    masks = {
        "chosen_attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),
        "rejected_attention_mask": torch.ones(2, 4),
    }
    for _ in range(2):
        assert trainer.training_step(None, masks, items=3) == 0.5
    trainer.log({"loss": 0.5}, 1.0)
    trainer.log({"eval_loss": 0.5})
    trainer.training_step(None, masks)
    trainer.log({"loss": 0.25})
    assert logged == [{"loss": 0.5, "num_tokens": 26}, {"eval_loss": 0.5}, {"loss": 0.25, "num_tokens": 39}]
