"""The plugin of every stage: one prompt, no stale cache, mistakes in one line, and a `run.json` that ends a run."""

import atexit
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

from accelerate import PartialState
from axolotl.common.datasets import load_datasets, load_preference_datasets
from axolotl.integrations.base import BasePlugin
from axolotl.loaders import load_tokenizer
from axolotl.utils.distributed import init_distributed_state
from transformers import set_seed

from axolotl_plugins.callbacks import (
    LOG,
    Checkpoints,
    Progress,
    StopWhenLost,
    on_main_process,
    prepare_trainer,
    resume,
)
from axolotl_plugins.checks.base_model import (
    MERGED_ADAPTER,
    adapter_digest,
    check_parent,
    check_special_tokens,
    check_tokenizer,
    name_base_absolutely,
    stage_chat_template,
)
from axolotl_plugins.checks.config import GuardArgs, check_config
from axolotl_plugins.checks.machine import check_machine, switch_off_lora_kernels
from axolotl_plugins.checks.model_files import ADAPTER, check_adapter_fits, check_weights
from axolotl_plugins.checks.preferences import check_neighbours, describe_beta, set_defaults
from axolotl_plugins.checks.rows import check_collator, check_rows, count_examples
from axolotl_plugins.checks.speed import AUTO, best_attention, check_speed
from axolotl_plugins.checks.steps import describe_steps
from axolotl_plugins.environment import prepare_process
from axolotl_plugins.kto import compare_with_others, describe_balance
from axolotl_plugins.loss import (
    average_over_batches,
    average_over_tokens,
    evaluate_over_tokens,
    pad_evaluation_little,
    train_answers_only,
)
from axolotl_plugins.portable import make_portable
from axolotl_plugins.processes import count_processes, keep_batch, lay_over
from axolotl_plugins.resume import identity
from axolotl_plugins.resume.checkpoints import STATE_FILE
from axolotl_plugins.resume.packing import keep_order
from axolotl_plugins.run_file import write_run_file
from axolotl_plugins.run_folder import check_output_dir, hold
from axolotl_plugins.token_count import count_tokens
from prompt_strategies.native_template import TODAY, has_fixed_date
from rabbit_ko.errors import UserError
from rabbit_ko.methods import method_of
from rabbit_ko.recipes import RUN_FILE, expand_base
from rabbit_ko.storage import make_readable
from rabbit_ko.terminal import shown

# In a folder of prepared rows: which of those in it have been checked, all of them; and what each of them has.
CHECKED, PREPARED = "checked", "*/dataset_info.json"


def in_one_line(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Let a hook end the process with one line where it raises UserError."""

    @wraps(hook)
    def refusing(guard: "Guard", cfg: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return hook(guard, cfg, *arguments, **options)
        except UserError as error:
            # All processes of a machine refuse the same; one of them says so.
            is_first = os.environ.get("LOCAL_RANK", "0") == "0"
            raise SystemExit(shown(f"{cfg['axolotl_config_path']}: {error}") if is_first else 1) from None

    return refusing


class Guard(BasePlugin):
    """Hooks in the order in which axolotl calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.started = datetime.now(UTC)
        self.trainer: Any = None
        self.datasets: list[dict[str, str]] = []
        self.counts: dict[str, dict[str, int]] = {}
        self.given: dict[str, Any] = {}
        self.overrides: dict[str, Any] = {}
        self.identity: identity.Identity = {}
        self.seconds_before = 0.0
        self.held: list[AbstractContextManager[object]] = []

    @in_one_line
    def register(self, cfg: Any) -> None:
        """Check the raw config, then give it the project's chat template, a cache folder and its batch."""
        prepare_process()
        if cfg.get("use_ray") and "WORLD_SIZE" in os.environ:
            # Started by Ray Train, in a folder of its own, with a config that the driver has checked and filled in.
            folder, self.given, self.overrides = json.loads(cfg.pop("guard_driver"))
            os.chdir(folder)
            identity.use_raw_folder(cfg)
            return
        expand_base(cfg)
        self.overrides = identity.find_overrides(cfg)
        lay_over(cfg)
        # Axolotl's own commands take options away by setting them to None, some of which it no longer knows. Its
        # validation fills in what is nested.
        set_defaults(cfg)
        self.given = deepcopy({key: value for key, value in cfg.items() if value is not None})
        check_config(self.given)
        if not (cfg.get("use_ray") or cfg.get("is_preprocess") or cfg.get("merge_lora")):
            check_machine(self.given)
        check_output_dir(self.given, Path(cfg["axolotl_config_path"]))
        check_speed(self.given, count_processes(cfg))
        keep_batch(cfg, LOG.info)
        check_neighbours(cfg)
        if line := describe_beta(self.given):
            LOG.warning(line)
        if cfg.get("attn_implementation") == AUTO:
            cfg["attn_implementation"] = best_attention()
            LOG.info("attn_implementation: auto is %s here", cfg["attn_implementation"])
        if cfg.get("use_ray"):  # by a driver, which may have no GPU
            cfg["guard_driver"] = json.dumps([str(Path.cwd()), self.given, self.overrides], default=str)
        else:
            switch_off_lora_kernels(cfg, LOG.info)
        cfg["chat_template_jinja"] = stage_chat_template(cfg)
        cfg["chat_template"] = "jinja"
        identity.set_prepared_path(cfg)

    def get_input_args(self) -> str:
        """Name the guard's own keys, for axolotl to add to its schema."""
        return f"{GuardArgs.__module__}.{GuardArgs.__name__}"

    @in_one_line
    def on_config_validation_error(self, cfg: Any) -> None:
        """Say in one line what axolotl's validation would say in a traceback."""
        raise UserError(" ".join(map(str.strip, str(sys.exc_info()[1]).splitlines()[:3])))

    @in_one_line
    def load_datasets(self, cfg: Any, preprocess: bool = False) -> Any:
        """Load the rows as axolotl does, and check all of them once after they were prepared, later a sample."""
        if not preprocess:  # of training only: rows are prepared and adapters merged without a GPU, too
            if cfg.use_ray:
                check_machine(cfg)
            init_distributed_state()
            on_main_process(lambda: self.held.append(hold(Path(cfg.output_dir))))
        check_weights(Path(cfg.base_model))
        check_special_tokens(cfg, LOG.warning)
        tokenizer = load_tokenizer(cfg)
        check_parent(cfg, LOG.info)
        check_tokenizer(cfg, tokenizer, LOG.info)
        identity.remove_unfinished(prepared := Path(cfg.dataset_prepared_path))
        self.datasets = identity.dataset_fingerprints(cfg)
        load = load_datasets if method_of(cfg).rows == "sft" else load_preference_datasets
        before = set(prepared.glob(PREPARED))
        loaded = load(cfg=cfg)
        after = set(prepared.glob(PREPARED))
        if len(loaded.train_dataset) and after - before:
            # Rows that were just prepared are still in a cache of this process's own; TRL keeps what it computes of
            # them beside them, where no other process would find it.
            loaded = load(cfg=cfg)
        # TRL's trainer makes the tokens of preferences; they are checked when it has.
        checked, folders = prepared / CHECKED, " ".join(sorted(path.parent.name for path in after))
        is_new = method_of(cfg).rows == "sft" and not (checked.exists() and checked.read_text() == folders)
        everything = preprocess or (is_new and os.environ.get("RANK", "0") == "0")
        splits = [("train", cfg.datasets, loaded.train_dataset), ("test", cfg.test_datasets, loaded.eval_dataset)]
        for split, entries, rows in splits:
            if entries:
                examples = count_examples(cfg, entries)
                self.counts[split] = check_rows(cfg, tokenizer, split, rows, examples, everything)
        if everything:
            checked.write_text(folders)
        if steps := loaded.total_num_steps:
            for line in describe_steps(cfg, len(loaded.train_dataset), steps):
                LOG.info(line)
        return loaded

    @in_one_line
    def pre_model_load(self, cfg: Any) -> None:
        """Seed before the adapter's random weights are drawn, which axolotl does only after that, and resume."""
        set_seed(42 if cfg.seed is None else cfg.seed)
        if self.datasets and not cfg.merge_lora:
            # The first process decides and marks checkpoints for all, so that a base of many gigabytes is read once.
            if PartialState().is_main_process:
                self.identity = identity.run_identity(self.given, self.datasets)
            self.seconds_before = resume(cfg, self.identity)

    @in_one_line
    def post_model_load(self, cfg: Any, model: Any) -> None:
        """Before a merge, write into the model's config which adapter it is that gets merged."""
        if cfg.merge_lora:
            check_adapter_fits(model, Path(cfg.lora_model_dir or cfg.output_dir))
            setattr(model.config, MERGED_ADAPTER, adapter_digest(Path(cfg.lora_model_dir or cfg.output_dir)))
            atexit.register(make_readable, Path(cfg.output_dir) / "merged")  # axolotl calls no hook when it has saved

    @in_one_line
    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Check what the trainer will really read, and remove what says that an earlier run has ended, and how."""
        self.trainer = trainer
        if (method := method_of(cfg)).rows != "sft":
            for split, counts in self.counts.items():
                rows = trainer.train_dataset if split == "train" else trainer.eval_dataset
                check_rows(cfg, trainer.processing_class, split, rows, counts["examples"], everything=False)
            if method.rl == "orpo":
                train_answers_only(trainer)
            if method.rl in ("orpo", "simpo"):
                count_tokens(trainer)
            if method.rl == "kto":
                compare_with_others(trainer)
                if line := describe_balance(cfg, [*trainer.train_dataset["label"]]):
                    LOG.warning(line)
        else:
            average = average_over_tokens if cfg.guard_mean_over_tokens else average_over_batches
            average(trainer)
            evaluate_over_tokens(trainer)
            if cfg.sample_packing:
                keep_order(trainer)
                if not cfg.eval_sample_packing:
                    pad_evaluation_little(trainer)
        check_collator(cfg, trainer)
        for name in (RUN_FILE, STATE_FILE):
            (Path(cfg.output_dir) / name).unlink(missing_ok=True)

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Show progress, mark checkpoints as complete, and stop a run that is lost."""
        prepare_trainer(trainer, is_resumed=bool(cfg.resume_from_checkpoint))
        # The first, so that those that report to somewhere get its figures, too.
        trainer.callback_handler.callbacks.insert(0, Progress(LOG.info))
        return [Checkpoints(self.identity, self.seconds_before), StopWhenLost(cfg.axolotl_config_path)]

    def post_train_unload(self, cfg: Any) -> None:
        """Write `run.json`; axolotl calls `post_train` before it has saved the model, and again after that."""
        if not self.trainer.is_world_process_zero():
            return
        folder = Path(cfg.output_dir)
        if (folder / ADAPTER).exists():
            # Beside a DPO adapter, axolotl saves the base with the adapter's layers in it; nothing loads that.
            for file in folder.glob("model*.safetensors*"):
                file.unlink()
            name_base_absolutely(folder)
        make_portable(folder)
        make_readable(folder)
        self.trainer.save_state()
        facts = {"overrides": self.overrides, "datasets": self.datasets, "rows": self.counts}
        if has_fixed_date(cfg.chat_template_jinja or ""):
            facts["chat_template_date"] = TODAY.isoformat()
        write_run_file(cfg, self.trainer, self.started, self.seconds_before, self.identity, **facts)
