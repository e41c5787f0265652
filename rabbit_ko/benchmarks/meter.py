"""A plugin that writes down what each training step took, from inside axolotl's own process.

It counts the batches that the trainer gets, on the device that they are on, and waits for the GPU once a step, which
takes next to nothing beside the step. What it has counted goes into `steps.json` in the output folder.
"""

import json
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback

from axolotl_plugins.progress import peak_of_process
from rabbit_ko.benchmarks.throughput import STEPS

COUNTS = ("positions", "tokens", "trained", "rows")


class Meter(BasePlugin):
    """Wraps the trainer's step, and in DPO the reference pass before training."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []
        self.steps: list[list[Any]] = []
        self.batches: list[list[Any]] = []
        self.reference: list[tuple[float, int]] = []
        self.trainer: Any = None

    def pre_model_load(self, cfg: Any) -> None:
        """Time the batches of a reference pass, each from its start to the next one's, since TRL waits for each."""
        if not cfg.precompute_ref_log_probs:
            return
        from trl import DPOTrainer

        original = DPOTrainer.compute_ref_log_probs

        def timed(trainer: Any, model: Any, inputs: Any) -> Any:
            if self.trainer is None:
                self.reference.append((perf_counter(), len(inputs["input_ids"]) // 2))
            return original(trainer, model, inputs)

        DPOTrainer.compute_ref_log_probs = timed

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Count each batch that the trainer is given."""
        if self.reference:
            self.reference.append((perf_counter(), 0))
        self.trainer = trainer
        step, tokenizer = trainer.training_step, trainer.processing_class

        def counted(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self.batches.append(count(inputs, tokenizer.pad_token_id, tokenizer.eos_token_id))
            return step(model, inputs, *args, **kwargs)

        trainer.training_step = counted

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Note when a step has ended."""
        return [_Clock(self)]

    def end_step(self) -> None:
        """Wait for the GPU, and take the batches of the step together; before the first one only the time counts."""
        _wait()
        self.ends.append(perf_counter())
        if self.batches:
            self.steps.append([sum(column) for column in zip(*self.batches, strict=True)])
            self.batches = []

    def post_train(self, cfg: Any, model: Any) -> None:
        """Write the file."""
        counts = [[int(number) for number in step] for step in self.steps]
        times = [moment for moment, _ in self.reference]
        content = {
            "seconds": _between(self.ends),
            **{name: list(column) for name, column in zip(COUNTS, zip(*counts, strict=True), strict=True)},
            "reference_seconds": _between(times),
            "reference_rows": [rows for _, rows in self.reference[:-1]],
            "gpus": self.trainer.accelerator.num_processes,
            **_memory(),
        }
        (Path(cfg.output_dir) / STEPS).write_text(json.dumps(content), encoding="utf-8")


class _Clock(TrainerCallback):
    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.meter.end_step()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.meter.end_step()


def count(inputs: Any, pad: int, eos: int) -> list[Any]:
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


def _between(moments: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(moments)]


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _memory() -> dict[str, Any]:
    """Return the device, and the most memory that was taken: PyTorch's on a GPU, else the whole process's."""
    import torch

    if torch.cuda.is_available():
        device = {"device": torch.cuda.get_device_name(), "reserved_bytes": torch.cuda.max_memory_reserved()}
        return {**device, "peak_bytes": torch.cuda.max_memory_allocated()}
    return {"device": "CPU", "peak_bytes": peak_of_process()}
