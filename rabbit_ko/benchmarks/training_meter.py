"""A plugin that writes down what each training step took, from inside axolotl's own process.

It counts the batches that the trainer gets, on the device that they are on, and waits for the GPU once a step, which
takes next to nothing beside the step.
"""

import json
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback

from axolotl_plugins.callbacks import peak_of_process
from rabbit_ko.benchmarks.training_setup import STEPS

COUNTS = ("positions", "tokens", "trained", "rows")


class Meter(BasePlugin, TrainerCallback):
    """Wraps the trainer's step, and in DPO the reference pass before training; writes STEPS."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []
        self.steps: list[list[int]] = []
        self.batches: list[list[Any]] = []
        self.reference: list[tuple[float, int]] = []

    def pre_model_load(self, cfg: Any) -> None:
        """Note when each batch of a reference pass starts, and its rows; TRL waits for each."""
        if not cfg.precompute_ref_log_probs:
            return
        from trl import DPOTrainer

        original = DPOTrainer.compute_ref_log_probs

        def timed(trainer: Any, model: Any, inputs: Any) -> Any:
            self.reference.append((perf_counter(), len(inputs["input_ids"]) // 2))
            return original(trainer, model, inputs)

        DPOTrainer.compute_ref_log_probs = timed

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        step, tokenizer = trainer.training_step, trainer.processing_class

        def counted(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self.batches.append(count_batch(inputs, tokenizer.pad_token_id, tokenizer.eos_token_id))
            return step(model, inputs, *args, **kwargs)

        trainer.training_step = counted

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        return [self]

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.ends.append(perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Wait for the GPU, and take the batches of the step together."""
        self.steps.append([int(sum(column)) for column in zip(*self.batches, strict=True)])
        self.batches = []
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(perf_counter())

    def post_train(self, cfg: Any, model: Any) -> None:
        cuda, starts = torch.cuda.is_available(), [start for start, _ in self.reference]
        content = {
            "seconds": [after - before for before, after in pairwise(self.ends)],
            **{name: list(column) for name, column in zip(COUNTS, zip(*self.steps, strict=True), strict=True)},
            "reference_seconds": [after - before for before, after in pairwise(starts)],
            "reference_rows": [rows for _, rows in self.reference],
            "device": torch.cuda.get_device_name() if cuda else "CPU",
            "peak_bytes": torch.cuda.max_memory_allocated() if cuda else peak_of_process(),
        }
        (Path(cfg.output_dir) / STEPS).write_text(json.dumps(content), encoding="utf-8")


def count_batch(inputs: Any, pad: int, eos: int) -> list[Any]:
    """Return the positions of a batch, its tokens, those that are trained, and its rows.

    The guard sees to it that padding has a token of its own, and that EOS is trained once a row. A preference pair is
    one row, of which both answers count.
    """
    ids = inputs["input_ids"]
    tokens = (ids != pad).sum()
    if "completion_mask" in inputs:
        return [ids.numel(), tokens, inputs["completion_mask"].sum(), len(ids) // 2]
    labels = inputs["labels"]
    return [ids.numel(), tokens, (labels != -100).sum(), (labels == eos).sum()]
