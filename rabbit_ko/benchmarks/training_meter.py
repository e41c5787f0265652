"""A plugin that writes down what each training step took, from inside axolotl's own process."""

import json
from time import perf_counter
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback

from axolotl_plugins.callbacks import peak_of_process
from rabbit_ko import storage


class Meter(BasePlugin, TrainerCallback):
    """Writes metered.json: seconds, positions, tokens, trained tokens and rows of each step, in `steps`.

    And in `reference` of each batch of a DPO reference pass before training its start in seconds, and its rows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[list[float]] = []
        self.batches: list[list[Any]] = []
        self.reference: list[tuple[float, int]] = []

    def pre_model_load(self, cfg: Any) -> None:
        if cfg.precompute_ref_log_probs:
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
        self.mark = perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = perf_counter()
        self.steps.append([now - self.mark, *(int(sum(column)) for column in zip(*self.batches, strict=True))])
        self.batches, self.mark = [], now

    def post_train(self, cfg: Any, model: Any) -> None:
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_of_process()
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        content = {"steps": self.steps, "reference": self.reference, "peak_bytes": peak, "device": device}
        storage.write(f"{cfg.output_dir}/metered.json", json.dumps(content).encode())


def count_batch(inputs: Any, pad: int, eos: int) -> list[Any]:
    """Return the positions of a batch, its tokens, those that are trained, and its rows.

    Padding has a token of its own, and EOS is trained once a row. A pair is one row, of which both answers count.
    """
    ids = inputs["input_ids"]
    tokens = (ids != pad).sum()
    if "completion_mask" in inputs:
        return [ids.numel(), tokens, inputs["completion_mask"].sum(), len(ids) // 2]
    labels = inputs["labels"]
    return [ids.numel(), tokens, (labels != -100).sum(), (labels == eos).sum()]
