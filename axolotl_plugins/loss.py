"""The mean loss of a step and of an evaluation over their tokens, whatever batches and processes they are cut into.

Axolotl 0.19 takes the mean of the means of micro-batches for Llama with PEFT, 0.21 over the tokens of one process; an
evaluation is a mean over batches in both. So the same recipe would train otherwise on another number of GPUs.
"""

import inspect
from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from prompt_strategies.sft import IGNORE_INDEX
from rabbit_ko.errors import UserError

# What axolotl pads rows to that are not packed: products of matrices are fast in such sizes.
PAD_TO_MULTIPLE_OF = 64


def average_over_tokens(trainer: Any) -> None:
    """Let a trainer's loss be the mean over the tokens of a step. Raises UserError where its model cannot do that."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    kinds = {parameter.kind for parameter in inspect.signature(model.forward).parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        raise UserError(
            f"base_model: {type(model).__name__} takes no number of tokens to average over; set "
            "`guard_mean_over_tokens: false` to average over micro-batches instead"
        )
    trainer.model_accepts_loss_kwargs = True
    trainer.args.average_tokens_across_devices = True


def average_over_batches(trainer: Any) -> None:
    """Let a trainer's loss be the mean of its micro-batches' means, as axolotl 0.19 has it with PEFT and 0.21 not."""
    trainer.model_accepts_loss_kwargs = False
    trainer.args.average_tokens_across_devices = False


def train_answers_only(trainer: Any) -> None:
    """Let ORPO's likelihood term be that of the chosen answers' tokens; TRL's is of their prompts' tokens, too.

    The term is the mean over the answers' tokens in a micro-batch, as in SFT.
    """
    trainer.concatenated_forward = partial(_with_answers_only, trainer.concatenated_forward)


def _with_answers_only(forward: Any, model: Any, batch: dict[str, Any]) -> tuple[Any, ...]:
    chosen, rejected, logits, rejected_logits, _, *rest = forward(model, batch)
    labels = batch["chosen_labels"][:, 1:].to(logits.device)
    # Where a rejected answer is longer, there are logits for padding, too.
    loss = torch.nn.functional.cross_entropy(
        logits[:, : labels.shape[1]].flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORE_INDEX
    )
    return chosen, rejected, logits, rejected_logits, loss, *rest


def evaluate_over_tokens(trainer: Any) -> None:
    """Let a trainer's evaluation loss be the mean over the tokens of its rows, none of which counts twice."""
    trainer.get_eval_dataloader = partial(_load_all, trainer, trainer.get_eval_dataloader)
    trainer.evaluation_loop = partial(_evaluate, trainer, trainer.evaluation_loop, trainer.prediction_step)


def pad_evaluation_little(trainer: Any) -> None:
    """Pad an evaluation's batch to its longest row; where training is packed, axolotl pads it to `sequence_len`."""
    trainer.eval_data_collator.pad_to_multiple_of = PAD_TO_MULTIPLE_OF


def _load_all(trainer: Any, load: Any, *arguments: Any, **options: Any) -> Any:
    """Load every row, in as many batches for each process, which wait for each other; packing switches both off."""
    accelerator, args = trainer.accelerator, trainer.args
    before = accelerator.even_batches, args.dataloader_drop_last
    accelerator.even_batches, args.dataloader_drop_last = True, False
    try:
        return load(*arguments, **options)
    finally:
        accelerator.even_batches, args.dataloader_drop_last = before


def _evaluate(trainer: Any, loop: Any, step: Any, dataloader: Any, *arguments: Any, **options: Any) -> Any:
    totals = torch.zeros(2, dtype=torch.float64)

    def weigh(model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        inputs["labels"] = _without_repeats(trainer.accelerator, inputs["labels"])
        found = step(model, inputs, *rest, **named)
        tokens = int((inputs["labels"][..., 1:] != IGNORE_INDEX).sum())
        if tokens:  # the mean over none is no number
            totals.add_(torch.tensor([float(found[0]) * tokens, tokens], dtype=torch.float64))
        return found

    # A batch's own mean is weighed here, so no process shall take it over the tokens of the others.
    with patch.multiple(trainer, prediction_step=weigh, model_accepts_loss_kwargs=False):
        output = loop(dataloader, *arguments, **options)
    loss, tokens = trainer.accelerator.reduce(totals.to(trainer.args.device), "sum").tolist()
    prefix = options.get("metric_key_prefix", "eval")
    output.metrics[f"{prefix}_loss"] = loss / tokens
    return output


def _without_repeats(accelerator: Any, labels: torch.Tensor) -> torch.Tensor:
    """Ignore the rows that accelerate repeats at the end so that all processes have as many batches of one size."""
    state = accelerator.gradient_state
    if accelerator.num_processes == 1:
        return labels
    count = rows_that_count(len(labels), accelerator.process_index, state.end_of_dataloader, state.remainder)
    return labels.masked_fill((torch.arange(len(labels), device=labels.device) >= count).unsqueeze(1), IGNORE_INDEX)


def rows_that_count(size: int, process: int, is_last: bool, remainder: int) -> int:
    """Return how many rows of a process's batch are no repetition, as `gather_for_metrics` counts them.

    remainder: the rows of the last batches of all processes together, in their order; 0 where those are full.
    """
    return min(max(remainder - process * size, 0), size) if is_last and remainder > 0 else size
