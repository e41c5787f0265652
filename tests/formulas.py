"""Compare, in one process, the loss of a step of axolotl's own trainers with the formulas of the methods' papers.

    python -m tests.formulas

Runs in a copy of the project whose SFT has been merged, in float32. The formulas take log-probabilities from plain
forward passes, one row at a time and without padding, of the ids that SFT has for the same rows of the shards. Where
the guard mends what TRL does, the loss is also taken without that.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from axolotl.cli.config import load_cfg
from axolotl.integrations.base import PluginManager
from axolotl.train import setup_model_and_trainer
from torch.nn.functional import logsigmoid

from axolotl_plugins.checks.rows import TokenizedRow, tokenized_rows
from tests.attempts import variant

# A prompt and an answer, as SFT has their ids.
Row = tuple[list[int], list[int]]
ACCUMULATED, BATCH, BETA, MOVES = 2, 6, 0.3, 4
SMOOTHING, GAMMA, GOOD, BAD = 0.1, 0.7, 1.5, 0.6


@dataclass(frozen=True)
class Step:
    """What a formula is made of: a batch's chosen and rejected rows, or all of its rows and their labels."""

    trainer: Any
    chosen: list[Row]
    rejected: list[Row]
    rows: list[Row]
    labels: list[bool]

    def logps(self, rows: Sequence[Row], reference: bool = False) -> list[torch.Tensor]:
        """Return the log-probabilities of each row's answer tokens, by the model or by what it started from."""
        model = self.trainer.model
        with torch.no_grad(), model.disable_adapter() if reference else nullcontext():
            return [_logps(model, prompt, answer) for prompt, answer in rows]

    def ratios(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Return log(policy / reference) of each answer token."""
        both = zip(self.logps(rows), self.logps(rows, reference=True), strict=True)
        return [policy - reference for policy, reference in both]


def _logps(model: Any, prompt: list[int], answer: list[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return logits.double().log_softmax(-1).gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1)


def _sums(values: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([value.sum() for value in values])


def _means(values: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([value.mean() for value in values])


def dpo(step: Step) -> torch.Tensor:
    """Equation 7 of https://arxiv.org/abs/2305.18290."""
    return -logsigmoid(BETA * (_sums(step.ratios(step.chosen)) - _sums(step.ratios(step.rejected)))).mean()


def dpo_of_means(step: Step) -> torch.Tensor:
    """Its rewards as means over an answer's tokens: equation 6 of https://arxiv.org/abs/2411.15124."""
    return -logsigmoid(BETA * (_means(step.ratios(step.chosen)) - _means(step.ratios(step.rejected)))).mean()


def robust(step: Step) -> torch.Tensor:
    """Equation 9 of https://arxiv.org/abs/2403.00409."""
    margin = BETA * (_sums(step.ratios(step.chosen)) - _sums(step.ratios(step.rejected)))
    losses = (1 - SMOOTHING) * -logsigmoid(margin) - SMOOTHING * -logsigmoid(-margin)
    return (losses / (1 - 2 * SMOOTHING)).mean()


def ipo(step: Step) -> torch.Tensor:
    """Equation 17 of https://arxiv.org/abs/2310.12036, of means over an answer's tokens, as its authors have it."""
    margin = _means(step.ratios(step.chosen)) - _means(step.ratios(step.rejected))
    return ((margin - 1 / (2 * BETA)) ** 2).mean()


def orpo(step: Step) -> torch.Tensor:
    """Equations 4 to 7 of https://arxiv.org/abs/2403.07691; the likelihood is the chosen answers' tokens' alone."""
    chosen, rejected = step.logps(step.chosen), step.logps(step.rejected)
    odds = [_means(side) - torch.log1p(-_means(side).exp()) for side in (chosen, rejected)]
    return -torch.cat(chosen).mean() - BETA * logsigmoid(odds[0] - odds[1]).mean()


def simpo(step: Step) -> torch.Tensor:
    """Equation 6 of https://arxiv.org/abs/2405.14734."""
    margin = _means(step.logps(step.chosen)) - _means(step.logps(step.rejected))
    return -logsigmoid(BETA * margin - GAMMA).mean()


def kto(step: Step, others: int = 1) -> torch.Tensor:
    """Equation 8 of https://arxiv.org/abs/2402.01306; each prompt with the answer so many rows before it."""
    answers = [answer for _, answer in step.rows]
    mixed = [(prompt, answers[place - others]) for place, (prompt, _) in enumerate(step.rows)]
    divergence = _sums(step.ratios(mixed)).mean().clamp(min=0)
    rewards, is_good = _sums(step.ratios(step.rows)), torch.tensor(step.labels)
    good, bad = (torch.sigmoid(BETA * side) for side in (rewards - divergence, divergence - rewards))
    return torch.where(is_good, GOOD * (1 - good), BAD * (1 - bad)).mean()


# The stage's YAML, what is set in it, the formula, and what of the guard to take away to see it matter.
Case = tuple[str, dict[str, Any], Callable[[Step], torch.Tensor], str | None]
CASES: dict[str, Case] = {
    "dpo": ("dpo", {}, dpo, None),
    "dpo of means": ("dpo", {"dpo_loss_type": ["sigmoid_norm"]}, dpo_of_means, None),
    "robust dpo": ("dpo", {"dpo_loss_type": ["robust"], "dpo_label_smoothing": SMOOTHING}, robust, None),
    "ipo": ("dpo", {"rl": "ipo"}, ipo, None),
    "orpo": ("orpo", {}, orpo, "train_answers_only"),
    "simpo": ("simpo", {"simpo_gamma": GAMMA, "cpo_alpha": None}, simpo, "set_defaults"),
    "kto": ("kto", {"kto_desirable_weight": GOOD, "kto_undesirable_weight": BAD}, kto, None),
}


def make(stage: str, folder: str, **options: Any) -> tuple[Any, Any]:
    """Return a stage's config, and axolotl's trainer for it."""
    common = {"rl_beta": BETA, "micro_batch_size": BATCH, "gradient_accumulation_steps": ACCUMULATED}
    cfg = load_cfg(variant(Path(), stage, folder), dataset_prepared_path=folder, **common, **options)
    trainer, *_ = setup_model_and_trainer(cfg, PluginManager.get_instance().load_datasets(cfg))
    assert trainer.model.dtype == torch.float32
    return cfg, trainer


def take_step(cfg: Any, trainer: Any) -> tuple[float, Step]:
    """Return the loss of the first micro-batch of training, as the trainer takes it, and its rows."""
    known = dict(_known(tokenized_rows(cfg, trainer.processing_class, "train")))
    batch = next(iter(trainer.get_train_dataloader()))
    rows = [known[tuple(ids)] for ids in _unpadded(batch)]
    assert len({len(prompt + answer) for prompt, answer in rows}) > 1  # so that some are padded
    labels = batch["label"].tolist() if "label" in batch else []
    half = 0 if labels else len(rows) // 2
    step = Step(trainer, rows[:half], rows[half:], rows, labels)
    _move(trainer.model.train(), rows)
    trainer.current_gradient_accumulation_steps = ACCUMULATED
    return float(trainer.training_step(trainer.model, batch)) * ACCUMULATED, step


def _move(model: Any, rows: Sequence[Row]) -> None:
    """Take the adapter away from where it starts, to where these answers are likelier than in the reference."""
    optimizer = torch.optim.AdamW(weight for weight in model.parameters() if weight.requires_grad)
    for _ in range(MOVES):
        loss = -torch.cat([_logps(model, prompt, answer) for prompt, answer in rows]).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _known(rows: Iterator[TokenizedRow]) -> Iterator[tuple[tuple[int, ...], Row]]:
    for row in rows:
        for answer in row.answers:
            yield tuple(row.prompt + answer), (row.prompt, answer)


def _unpadded(batch: Any) -> Iterator[list[int]]:
    """Yield the ids of a batch's sequences; of pairs, all that are chosen come first."""
    for side in ("chosen_", "rejected_") if "chosen_input_ids" in batch else ("",):
        for ids, mask in zip(batch[f"{side}input_ids"], batch[f"{side}attention_mask"], strict=True):
            yield ids[mask == 1].tolist()


def measure(name: str, folder: str) -> dict[str, float]:
    """Return a case's loss, what its formula says, and the loss without the guard's mend."""
    stage, options, formula, mend = CASES[name]
    trained, step = take_step(*make(stage, folder, **options))
    found = {"loss": trained, "formula": float(formula(step))}
    if name == "kto":
        found["formula of own answers"] = float(kto(step, others=0))
    if mend:
        with mock.patch(f"axolotl_plugins.guard.{mend}"):
            found["without mend"], _ = take_step(*make(stage, f"{folder}-broken", **options))
    return found


def main() -> None:
    """Print everything as one line of JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        found = {name: measure(name, f"{scratch}/{name.replace(' ', '-')}") for name in CASES}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
