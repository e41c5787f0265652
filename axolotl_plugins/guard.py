"""The plugin of every stage: one prompt, no stale cache, mistakes in one line, and a `run.json` that ends a run."""

import os
import sys
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from typing import Any, NoReturn

from accelerate import PartialState
from axolotl.common.datasets import load_datasets, load_preference_datasets
from axolotl.integrations.base import BasePlugin
from axolotl.loaders import load_tokenizer
from safetensors import SafetensorError
from transformers import set_seed

from axolotl_plugins.args import GuardArgs
from axolotl_plugins.attention import resolve_attention
from axolotl_plugins.checks.base_model import ADAPTER, MERGED_ADAPTER, adapter_digest, check_parent, check_tokenizer
from axolotl_plugins.checks.config import check_config
from axolotl_plugins.checks.rows import SplitCounts, check_collator, check_rows, count_examples
from axolotl_plugins.checks.speed import check_speed
from axolotl_plugins.log import LOG
from axolotl_plugins.prepared_rows import remove_unfinished, set_prepared_path, use_raw_folder
from axolotl_plugins.processes import count_processes, is_ray_worker, keep_batch
from axolotl_plugins.progress import Progress, StopWhenLost
from axolotl_plugins.resume.attempt import KeepIntervals, MarkComplete, prepare_trainer, resume, unmark_finished
from axolotl_plugins.resume.identity import Identity, dataset_fingerprints, find_overrides, run_identity
from axolotl_plugins.resume.packing import keep_order
from axolotl_plugins.run_file import write_run_file
from axolotl_plugins.sharding import lay_over
from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import template_for
from rabbit_ko.errors import UserError, reason
from rabbit_ko.methods import method_of


def refuse(cfg: Any, mistake: str) -> NoReturn:
    """End the process with one line."""
    raise SystemExit(f"{cfg['axolotl_config_path']}: {mistake}") from None


def in_one_line(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Let a hook refuse the run where it raises UserError."""

    @wraps(hook)
    def refusing(guard: "Guard", cfg: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return hook(guard, cfg, *arguments, **options)
        except UserError as error:
            refuse(cfg, str(error))

    return refusing


class Guard(BasePlugin):
    """Hooks in the order in which axolotl calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.started = datetime.now(UTC)
        self.tokenizer: Any = None
        self.trainer: Any = None
        self.datasets: list[dict[str, str]] = []
        self.counts: dict[str, SplitCounts] = {}
        self.given: dict[str, Any] = {}
        self.overrides: dict[str, Any] = {}
        self.identity: Identity = {}
        self.seconds_before = 0.0

    @in_one_line
    def register(self, cfg: Any) -> None:
        """Check the raw config, then give it the project's chat template, a cache folder and its batch."""
        sys.excepthook = one_line_where_writing_failed
        # Without this, axolotl starts worker processes to save prepared rows, which takes seconds for each split.
        os.environ.setdefault("AXOLOTL_DATASET_NUM_PROC", "0")
        if is_ray_worker(cfg):
            self.given = dict(cfg)
            use_raw_folder(cfg)
            return
        self.overrides = find_overrides(cfg)
        lay_over(cfg)
        # Axolotl's own commands take options away by setting them to None, some of which it no longer knows. Its
        # validation fills in what is nested.
        self.given = deepcopy({key: value for key, value in cfg.items() if value is not None})
        check_config(self.given)
        check_speed(self.given, count_processes(cfg))
        keep_batch(cfg, LOG.info)
        resolve_attention(cfg)
        cfg["chat_template"] = "jinja"
        cfg["chat_template_jinja"] = chat_template(template_for(cfg["datasets"][0]["type"]))
        set_prepared_path(cfg)

    def get_input_args(self) -> str:
        """Name the guard's own keys, for axolotl to add to its schema."""
        return f"{GuardArgs.__module__}.{GuardArgs.__name__}"

    def on_config_validation_error(self, cfg: Any) -> None:
        """Say in one line what axolotl's validation would say in a traceback."""
        lines = [line.strip() for line in str(sys.exc_info()[1]).splitlines() if line.strip()]
        refuse(cfg, " ".join(lines[:3]))

    @in_one_line
    def load_datasets(self, cfg: Any, preprocess: bool = False) -> Any:
        """Load the rows as axolotl does, and refuse the run where an invariant does not hold.

        All rows are checked in `axolotl preprocess`, a sample of them before training.
        """
        self.tokenizer = load_tokenizer(cfg)
        template = template_for(cfg.datasets[0].type)
        check_parent(cfg, template)
        check_tokenizer(cfg, self.tokenizer, template)
        remove_unfinished(Path(cfg.dataset_prepared_path))
        self.datasets = dataset_fingerprints(cfg)
        load = load_datasets if method_of(cfg).rows == "sft" else load_preference_datasets
        try:
            loaded = load(cfg=cfg)
        except (ValueError, IndexError, KeyError, TypeError) as error:
            if cfg.debug:
                raise
            raise UserError(f"the rows cannot be prepared: {reason(error)}") from None
        splits = (
            ("train", loaded.train_dataset, cfg.datasets),
            ("test", loaded.eval_dataset, cfg.test_datasets),
        )
        for split, dataset, entries in splits:
            if entries:
                self.counts[split] = SplitCounts(count_examples(cfg, entries), len(dataset))
                check_rows(cfg, self.tokenizer, split, dataset, self.counts[split], everything=preprocess)
        if cfg.sample_packing and loaded.total_num_steps and not cfg.max_steps:
            rows = len(loaded.train_dataset) * cfg.num_epochs / loaded.total_num_steps
            LOG.info("one step takes %.1f rows on average", rows)
        return loaded

    @in_one_line
    def pre_model_load(self, cfg: Any) -> None:
        """Seed before the adapter's random weights are drawn; axolotl itself seeds only after that.

        A run that was interrupted resumes from its last complete checkpoint.
        """
        set_seed(42 if cfg.seed is None else cfg.seed)
        if self.datasets and not cfg.merge_lora:
            # The first process decides and marks checkpoints for all, so that a base of many gigabytes is read once.
            if PartialState().is_main_process:
                self.identity = run_identity(self.given, self.datasets)
            self.seconds_before = resume(cfg, self.identity)

    def post_model_load(self, cfg: Any, model: Any) -> None:
        """Before a merge, write into the model's config which adapter it is that gets merged."""
        if cfg.merge_lora:
            setattr(model.config, MERGED_ADAPTER, adapter_digest(Path(cfg.lora_model_dir or cfg.output_dir)))

    @in_one_line
    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Check what the trainer will really read, and remove the marks of an earlier run."""
        self.trainer = trainer
        if method_of(cfg).rows == "dpo":
            for split, dataset in (("train", trainer.train_dataset), ("test", trainer.eval_dataset)):
                if dataset:
                    check_rows(cfg, self.tokenizer, split, dataset, self.counts[split], everything=False)
        elif cfg.sample_packing:
            keep_order(trainer)
        check_collator(cfg, trainer)
        unmark_finished(Path(cfg.output_dir))

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Show progress, mark checkpoints as complete, and stop a run that is lost."""
        prepare_trainer(trainer, is_resumed=bool(cfg.resume_from_checkpoint))
        # The first, so that those that report to somewhere get its figures, too.
        trainer.callback_handler.callbacks.insert(0, Progress(LOG.info))
        complete = MarkComplete(self.identity, self.seconds_before)
        return [KeepIntervals(), complete, StopWhenLost(partial(refuse, cfg))]

    def post_train_unload(self, cfg: Any) -> None:
        """Write `run.json`, last, so that a folder that has it holds a finished run.

        Axolotl calls `post_train` before it has saved the model, and again after that.
        """
        if not self.trainer.is_world_process_zero():
            return
        folder = Path(cfg.output_dir)
        if (folder / ADAPTER).exists():
            # Beside a DPO adapter, axolotl saves the base with the adapter's layers in it; nothing loads that.
            for file in folder.glob("model*.safetensors*"):
                file.unlink()
        self.trainer.save_state()
        write_run_file(
            cfg,
            self.trainer,
            datasets=self.datasets,
            rows={split: count.as_dict() for split, count in self.counts.items()},
            started=self.started,
            seconds_before=self.seconds_before,
            identity=self.identity,
            overrides=self.overrides,
        )


def one_line_where_writing_failed(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print one line instead of a traceback where the disk is full or a file cannot be read or written."""
    if issubclass(kind, OSError | SafetensorError):
        print(f"error: {reason(error)}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
