"""How many tokens a run has read, where TRL does not log it: in its trainers of ORPO and of CPO, which SimPO is."""

from typing import Any

import torch

from prompt_strategies.preferences import SIDES


def count_tokens(trainer: Any) -> None:
    """Let a trainer of pairs log the tokens of both answers with their prompts, as TRL's DPO and KTO do."""
    step, log, counted = trainer.training_step, trainer.log, torch.zeros((), dtype=torch.float64)

    def counting_step(model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        for side in SIDES:
            counted.add_(inputs[f"{side}_attention_mask"].sum().cpu())
        return step(model, inputs, *rest, **named)

    def counting_log(logs: dict[str, float], *rest: Any, **named: Any) -> Any:
        if "loss" in logs:
            logs["num_tokens"] = int(trainer.accelerator.reduce(counted.to(trainer.args.device, copy=True), "sum"))
        return log(logs, *rest, **named)

    trainer.training_step, trainer.log = counting_step, counting_log
