"""What makes a run the run that it is: its config, its rows, its prompt and the model that it starts from."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from axolotl_plugins.checkpoints import Identity
from axolotl_plugins.prepared_path import file_digest, model_fingerprint
from prompt_strategies.fingerprint import source_fingerprint

# What may change between two attempts at one run, since it decides about nothing that is trained.
FREE = {
    "axolotl_config_path",
    "dataloader_num_workers",
    "dataset_num_proc",
    "dataset_prepared_path",
    "debug",
    "guard_max_left_out",
    "logging_steps",
    "output_dir",
    "resume_from_checkpoint",
    "save_steps",
    "save_strategy",
    "save_total_limit",
    "saves_per_epoch",
    "use_tensorboard",
    "use_trackio",
}


def run_identity(given: dict[str, Any], datasets: list[dict[str, str]]) -> Identity:
    """Return what a run is by its config as given, and by what the rows, the prompt and the base are now."""
    config = {f"config.{key}": _text(value) for key, value in given.items() if key not in FREE}
    deepspeed = Path(str(given.get("deepspeed")))
    return {
        **config,
        **({str(deepspeed): file_digest(deepspeed)} if deepspeed.is_file() else {}),
        "config.processes": os.environ.get("WORLD_SIZE", "1"),
        **{entry["path"]: entry["fingerprint"] for entry in datasets},
        "the prompt's code": source_fingerprint(),
        "the base model": model_fingerprint(given["base_model"], given.get("revision_of_model")),
    }


def _text(value: Any) -> str:
    """Return one text for a value, in whatever way it is written: YAML takes 6e-3 for text."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
