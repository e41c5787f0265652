"""What makes a run the run that it is: its config, its rows, its prompt and the model that it starts from.

A checkpoint is resumed only by the run that it is of, and a finished run is up to date while it would be made of the
same. Needs neither axolotl nor torch, so that the second can be told before they are loaded.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from axolotl_plugins.fingerprints import model_fingerprint, shards_fingerprint, tokenizer_fingerprint
from axolotl_plugins.redaction import redact
from axolotl_plugins.sharding import lay_over
from prompt_strategies.template import source_fingerprint
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import file_digest
from rabbit_ko.recipes import read_config

# Names of the parts of a run, such as `config.learning_rate` or `data/mine/sft`, with a text for each.
Identity = dict[str, str]

# What axolotl's commands put into a config by themselves.
INTERNAL = {"axolotl_config_path", "is_preprocess", "merge_lora"}
# Keys that may change between two attempts at one run, since they decide about nothing that is trained.
FREE = INTERNAL | {
    "dataloader_num_workers",
    "dataset_num_proc",
    "dataset_prepared_path",
    "debug",
    "guard_fresh",
    "guard_max_dropped",
    "logging_steps",
    "output_dir",
    "resume_from_checkpoint",
}
# What is saved, and where to is logged and pushed, by what axolotl's keys for it begin with.
SERVICES = ("tensorboard", "wandb", "mlflow", "comet", "trackio")
FREE_BEGINNINGS = ("hub_", "save", *SERVICES, *(f"use_{service}" for service in SERVICES))
# How a run is spread over processes: it cannot be resumed with another, but has trained the same when it has ended.
SPREAD = (
    "processes",
    "guard_sharding",
    "deepspeed",
    "fsdp",
    "ddp",
    "use_ray",
    "ray_",
    "gradient_checkpointing_kwargs",
)
# Longer values are not shown in a line.
LONG = 100


def run_identity(given: Mapping[str, Any], datasets: list[dict[str, str]]) -> Identity:
    """Return what a run is, by its config as given, and by what the rows, the prompt and the base are now.

    given: the stage's YAML with the overrides of the command line and the keys of `guard_sharding`.
    datasets: as `dataset_fingerprints` returns them. Secrets in the config are no part of it.
    """
    config = redact({key: value for key, value in given.items() if value is not None and _counts(key)})
    deepspeed = Path(str(given.get("deepspeed")))
    return {
        **{f"config.{key}": _text(value) for key, value in config.items()},
        **({str(deepspeed): file_digest(deepspeed)} if deepspeed.is_file() else {}),
        "config.processes": os.environ.get("WORLD_SIZE", "1"),
        **{entry["path"]: entry["fingerprint"] for entry in datasets},
        "the prompt's code": source_fingerprint(),
        "the base model": model_fingerprint(given["base_model"], given.get("revision_of_model")),
        "the tokenizer": tokenizer_fingerprint(given),
        **({"lora_model_dir": model_fingerprint(adapter, None)} if (adapter := given.get("lora_model_dir")) else {}),
    }


def dataset_fingerprints(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the path and the fingerprint of each dataset that a stage's config names, as it is now."""
    entries = (*config["datasets"], *(config.get("test_datasets") or []))
    paths = {entry["path"]: entry for entry in entries}
    return [{"path": path, "fingerprint": shards_fingerprint(entry)} for path, entry in paths.items()]


def stage_identity(path: Path, overrides: Mapping[str, Any]) -> Identity:
    """Return the identity that a run of a stage's YAML with these overrides would have now.

    Raises UserError where the YAML or the file that its `guard_sharding` names cannot be used.
    """
    config = {**read_config(path), **overrides}
    lay_over(config)
    return run_identity(config, dataset_fingerprints(config))


def find_overrides(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that axolotl has read otherwise than they stand in its YAML; none where that cannot be read."""
    try:
        written = read_config(Path(config["axolotl_config_path"]))
    except UserError:
        return {}
    return {
        key: deepcopy(value) for key, value in config.items() if key not in INTERNAL and value != written.get(key)
    }


def made_of(identity: Identity) -> Identity:
    """Return the part of an identity that makes a finished run stale where it changes: not how the run was spread."""
    deepspeed = json.loads(identity.get("config.deepspeed", "null"))
    spread = tuple(f"config.{key}" for key in SPREAD)
    return {name: text for name, text in identity.items() if not name.startswith(spread) and name != deepspeed}


def changes(before: Identity, now: Identity) -> str:
    """Say what differs between two identities, such as `learning_rate was 0.006, not 0.0002`; or an empty string."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(_change(name, before.get(name), now.get(name)) for name in names)


def _change(name: str, before: str | None, now: str | None) -> str:
    key = name.removeprefix("config.")
    if key == name or max(len(before or ""), len(now or "")) > LONG:
        return f"{key} was another"
    return f"{key} was {before or 'not set'}, not {now}" if now else f"{key} was {before}, and is not set now"


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
