"""What makes a run the run that it is: its config, its rows, its prompt and the model that it starts from."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from axolotl_plugins.checkpoints import Identity
from axolotl_plugins.prepared_path import model_fingerprint, tokenizer_fingerprint
from prompt_strategies.fingerprint import source_fingerprint
from rabbit_ko.hashing import file_digest

# What may change between two attempts at one run, since it decides about nothing that is trained.
FREE = {
    "axolotl_config_path",
    "dataloader_num_workers",
    "dataset_num_proc",
    "dataset_prepared_path",
    "debug",
    "guard_fresh",
    "guard_max_dropped",
    "logging_steps",
    "output_dir",
    "resume_from_checkpoint",
    "save_steps",
    "save_strategy",
    "save_total_limit",
    "saves_per_epoch",
}
# Where is logged to, by what axolotl's keys for it begin with.
SERVICES = ("tensorboard", "wandb", "mlflow", "comet", "trackio")
FREE_BEGINNINGS = (*SERVICES, *(f"use_{service}" for service in SERVICES))


def run_identity(given: dict[str, Any], datasets: list[dict[str, str]]) -> Identity:
    """Return what a run is by its config as given, and by what the rows, the prompt and the base are now."""
    config = {f"config.{key}": _text(value) for key, value in given.items() if _counts(key)}
    deepspeed = Path(str(given.get("deepspeed")))
    return {
        **config,
        **({str(deepspeed): file_digest(deepspeed)} if deepspeed.is_file() else {}),
        "config.processes": os.environ.get("WORLD_SIZE", "1"),
        **{entry["path"]: entry["fingerprint"] for entry in datasets},
        "the prompt's code": source_fingerprint(),
        "the base model": model_fingerprint(given["base_model"], given.get("revision_of_model")),
        "the tokenizer": tokenizer_fingerprint(given),
        **({"lora_model_dir": model_fingerprint(adapter, None)} if (adapter := given.get("lora_model_dir")) else {}),
    }


def _counts(key: str) -> bool:
    return key not in FREE and not key.startswith(FREE_BEGINNINGS)


def _text(value: Any) -> str:
    """Return one text for a value, in whatever way it is written: YAML takes 6e-3 for text."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    """Return what of a part of axolotl's schema was set; what else there is depends on its version."""
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else str(value)
