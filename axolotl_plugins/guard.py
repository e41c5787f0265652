"""The plugin of every recipe: one prompt, no stale cache, mistakes in one line, and a `run.json` that ends a run."""

import os
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from accelerate import PartialState
from axolotl.cli.args import InferenceCliArgs, PreprocessCliArgs, TrainerCliArgs
from axolotl.common.datasets import load_datasets, load_preference_datasets
from axolotl.integrations.base import BasePlugin, PluginManager
from axolotl.loaders import load_tokenizer
from axolotl.utils.schemas.config import AxolotlConfigWCapabilities
from axolotl.utils.schemas.datasets import DPODataset, SFTDataset
from safetensors import SafetensorError
from transformers import set_seed

from axolotl_plugins.args import GuardArgs
from axolotl_plugins.attempt import go_on, take_marks_away, watch
from axolotl_plugins.attention import resolve_attention
from axolotl_plugins.checks import find_mistake
from axolotl_plugins.lineage import ADAPTER, MERGED_ADAPTER, adapter_digest, find_base_mistake
from axolotl_plugins.log import LOG
from axolotl_plugins.packing import keep_order
from axolotl_plugins.prepared_path import remove_unfinished, set_prepared_path, use_raw_folder
from axolotl_plugins.processes import count_processes, is_ray_worker, keep_batch
from axolotl_plugins.resume.identity import Identity, dataset_fingerprints, find_overrides, run_identity
from axolotl_plugins.row_checks import SplitCounts, check_collator, check_split, count_examples
from axolotl_plugins.run_file import write_run_file
from axolotl_plugins.sharding import lay_over
from axolotl_plugins.speed_checks import find_speed_mistake
from axolotl_plugins.tokenizer_checks import find_tokenizer_mistake
from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import Template, template_for
from rabbit_ko.errors import UserError, reason
from rabbit_ko.recipes import GUARD


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
        try:
            lay_over(cfg)
            self._check_config(cfg)
            keep_batch(cfg)
        except (UserError, ValueError) as error:
            refuse(cfg, str(error))
        resolve_attention(cfg)
        cfg["chat_template"] = "jinja"
        cfg["chat_template_jinja"] = chat_template(template_of(cfg))
        set_prepared_path(cfg)

    def _check_config(self, cfg: Any) -> None:
        dataset_keys = SFTDataset.model_fields.keys() | DPODataset.model_fields.keys()
        # Axolotl's own commands take options away by setting them to None, some of which it no longer knows.
        given = {key: value for key, value in cfg.items() if value is not None}
        mistake = find_mistake(given, known_keys(cfg), dataset_keys) or find_speed_mistake(
            given, count_processes(cfg)
        )
        if mistake:
            refuse(cfg, mistake)
        # Its validation fills in what lies within.
        self.given = deepcopy(given)

    def get_input_args(self) -> str:
        """Name the guard's own keys, for axolotl to add to its schema."""
        return f"{GuardArgs.__module__}.{GuardArgs.__name__}"

    def on_config_validation_error(self, cfg: Any) -> None:
        """Say in one line what axolotl's validation would say in a traceback."""
        lines = [line.strip() for line in str(sys.exc_info()[1]).splitlines() if line.strip()]
        refuse(cfg, " ".join(lines[:3]))

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> Any:
        """Load the rows as axolotl does, and refuse to go on where an invariant does not hold.

        All rows are checked in `axolotl preprocess`, a sample of them before training.
        """
        self.tokenizer = load_tokenizer(cfg)
        mistake = find_base_mistake(cfg) if cfg.rl and not cfg.guard_any_dpo_base else None
        if mistake or (mistake := find_tokenizer_mistake(cfg, self.tokenizer, template_of(cfg))):
            refuse(cfg, mistake)
        remove_unfinished(Path(cfg.dataset_prepared_path))
        self.datasets = dataset_fingerprints(cfg)
        try:
            loaded = (load_preference_datasets if cfg.rl else load_datasets)(cfg=cfg)
        except (ValueError, IndexError, KeyError, TypeError) as error:
            if cfg.debug:
                raise
            refuse(cfg, f"the rows cannot be prepared: {reason(error)}")
        for split, dataset, entries in (
            ("train", loaded.train_dataset, cfg.datasets),
            ("test", loaded.eval_dataset, cfg.test_datasets),
        ):
            if entries:
                self.counts[split] = SplitCounts(count_examples(cfg, entries), len(dataset))
                self._check(cfg, split, dataset, everything=preprocess)
        if cfg.sample_packing and loaded.total_num_steps and not cfg.max_steps:
            rows = len(loaded.train_dataset) * cfg.num_epochs / loaded.total_num_steps
            LOG.info("one step takes %.1f rows on average", rows)
        return loaded

    def pre_model_load(self, cfg: Any) -> None:
        """Seed before the adapter's random weights are drawn; axolotl itself seeds only after that.

        A run that was interrupted goes on from its last whole checkpoint.
        """
        set_seed(42 if cfg.seed is None else cfg.seed)
        if self.datasets and not cfg.merge_lora:
            # The first process decides and seals for all, so that a base of many gigabytes is read once.
            if PartialState().is_main_process:
                self.identity = run_identity(self.given, self.datasets)
            try:
                self.seconds_before = go_on(cfg, self.identity)
            except ValueError as error:
                refuse(cfg, str(error))

    def post_model_load(self, cfg: Any, model: Any) -> None:
        """Before a merge, write into the model's config which adapter it is that gets merged."""
        if cfg.merge_lora:
            setattr(model.config, MERGED_ADAPTER, adapter_digest(Path(cfg.lora_model_dir or cfg.output_dir)))

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Check what the trainer will really read, and take away the mark of an earlier run."""
        self.trainer = trainer
        if cfg.rl:
            for split, dataset in (("train", trainer.train_dataset), ("test", trainer.eval_dataset)):
                if dataset:
                    self._check(cfg, split, dataset, everything=False)
        if mistake := check_collator(cfg, trainer):
            refuse(cfg, mistake)
        if cfg.sample_packing and not cfg.rl:
            keep_order(trainer)
        take_marks_away(Path(cfg.output_dir))

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Show progress, seal checkpoints, and stop a run that has gone wrong."""
        is_resumed = bool(cfg.resume_from_checkpoint)
        return watch(trainer, self.identity, self.seconds_before, is_resumed, partial(refuse, cfg))

    def post_train_unload(self, cfg: Any) -> None:
        """Write `run.json`, last, so that a folder that has it holds a finished run.

        Axolotl calls `post_train` before it has saved the model, and again after that.
        """
        if self.trainer.is_world_process_zero():
            _remove_stray_base(Path(cfg.output_dir))
            self.trainer.save_state()
            counts = {split: count.as_dict() for split, count in self.counts.items()}
            write_run_file(
                cfg,
                self.trainer,
                self.datasets,
                counts,
                self.started,
                self.seconds_before,
                identity=self.identity,
                overrides=self.overrides,
            )

    def _check(self, cfg: Any, split: str, dataset: Any, everything: bool) -> None:
        if mistake := check_split(
            cfg, self.tokenizer, template_of(cfg), split, dataset, self.counts[split], everything
        ):
            refuse(cfg, mistake)


def template_of(cfg: Any) -> Template:
    """Return the template that a stage's type asks for."""
    return template_for(cfg["datasets"][0]["type"])


def refuse(cfg: Any, mistake: str) -> NoReturn:
    """Stop before the run, with one line."""
    raise SystemExit(f"{cfg['axolotl_config_path']}: {mistake}") from None


def known_keys(cfg: Any) -> set[str]:
    """Return what may stand in a stage's YAML or on axolotl's command line; it drops others without a word.

    Each plugin that the stage names brings keys of its own.
    """
    arguments = {
        field.name for kind in (PreprocessCliArgs, TrainerCliArgs, InferenceCliArgs) for field in fields(kind)
    }
    internal = {"axolotl_config_path", "is_preprocess", "merge_lora"}
    return {*AxolotlConfigWCapabilities.model_fields, *_plugin_keys(cfg), *arguments, *internal}


def _plugin_keys(cfg: Any) -> Iterator[str]:
    registered = PluginManager.get_instance().plugins
    for name in {GUARD, *cfg["plugins"]} & registered.keys():
        if schema := registered[name].get_input_args():
            module, _, model = schema.rpartition(".")
            yield from getattr(import_module(module), model).model_fields


def one_line_where_writing_failed(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print one line instead of a traceback where the disk is full or a file cannot be read or written."""
    if issubclass(kind, OSError | SafetensorError):
        print(f"error: {reason(error)}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _remove_stray_base(folder: Path) -> None:
    """Remove the base with the adapter's layers in it, which axolotl saves beside a DPO adapter; nothing loads it."""
    if (folder / ADAPTER).exists():
        for file in folder.glob("model*.safetensors*"):
            file.unlink()
