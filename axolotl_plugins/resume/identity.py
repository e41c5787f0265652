"""What a run is made of: its config, rows, prompt and base; told without axolotl, for `rabbit status` to compare.

Only its own run resumes from a checkpoint, and prepared rows are in a folder that no others can be prepared into.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from filelock import FileLock

from axolotl_plugins.processes import lay_over
from prompt_strategies.template import source_fingerprint
from rabbit_ko.hashing import file_digest, files_digest, versions
from rabbit_ko.hub import hub_digest
from rabbit_ko.recipes import read_config
from rabbit_ko.secrets import redact

WEIGHTS = ("*.safetensors", "*.bin", "config.json")
# Names of the parts of a run, such as `config.learning_rate` or `data/mine/sft`, with a text for each.
Identity = dict[str, str]

# What axolotl's commands put into a config by themselves.
INTERNAL = {"axolotl_config_path", "is_preprocess", "merge_lora"}
# Keys that may change between two attempts at one run, since they decide about nothing that is trained.
FREE = INTERNAL | {
    *("dataloader_num_workers", "dataset_num_proc", "dataset_prepared_path", "debug", "guard_fresh"),
    *("guard_max_dropped", "guard_trust_remote_code", "logging_steps", "output_dir", "resume_from_checkpoint"),
}
# What is saved, and where to is logged and pushed, by what axolotl's keys for it begin with, some after `use_`.
FREE_BEGINNINGS = ("hub_", "save", "tensorboard", "wandb", "mlflow", "comet", "trackio")
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

# What decides about the tokens of a row.
OPTIONS = (
    *("added_tokens_overrides", "chat_template_jinja", "datasets", "eval_sequence_len"),
    *("excess_length_strategy", "min_sample_len"),
    *("sequence_len", "special_tokens", "test_datasets", "tokenizer_legacy", "tokenizer_type", "tokenizer_use_fast"),
    "tokens",
)


def run_identity(given: Mapping[str, Any], datasets: list[dict[str, str]]) -> Identity:
    """Return what a run is, by its config as given, without secrets, and by what its rows and its base are now."""
    config = redact({key: value for key, value in given.items() if value is not None and not _is_free(key)})
    deepspeed, adapter = Path(str(given.get("deepspeed"))), given.get("lora_model_dir")
    return {
        **{f"config.{key}": _text(value) for key, value in config.items()},
        **({str(deepspeed): file_digest(deepspeed)} if deepspeed.is_file() else {}),
        "config.processes": os.environ.get("WORLD_SIZE", "1"),
        **{entry["path"]: entry["fingerprint"] for entry in datasets},
        "the prompt's code": source_fingerprint(),
        "the base model": base_fingerprint(given),
        "the tokenizer": tokenizer_fingerprint(given),
        **({"the chat template": template} if (template := chat_template_fingerprint(given)) else {}),
        **({"lora_model_dir": _fingerprint(adapter, "model", None, *WEIGHTS)} if adapter else {}),
    }


def _is_free(key: str) -> bool:
    return key in FREE or key.removeprefix("use_").startswith(FREE_BEGINNINGS)


def _text(value: Any) -> str:
    """Return one text for a value, in whatever way it is written: YAML takes 6e-3 for text."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = json.loads(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _fingerprint(name: str, kind: str, revision: str | None, *patterns: str) -> str:
    """Return a digest of a file or of a folder's that match, or of those of a hub repo; empty where unknown."""
    path = Path(name)
    if path.exists():
        return files_digest([path] if path.is_file() else [file for each in patterns for file in path.glob(each)])
    return hub_digest(name, kind, revision, patterns)


def base_fingerprint(config: Mapping[str, Any]) -> str:
    """Return what tells the weights that a stage starts from from others; empty where unknown."""
    return _fingerprint(config["base_model"], "model", config.get("revision_of_model"), *WEIGHTS)


def shards_fingerprint(entry: Mapping[str, Any]) -> str:
    """Return what tells the rows of a dataset entry from others."""
    return _fingerprint(entry["path"], "dataset", entry.get("revision"), "**/*")


def tokenizer_fingerprint(config: Mapping[str, Any]) -> str:
    """Return what tells a stage's tokenizer from others."""
    name = config.get("tokenizer_config") or config["base_model"]
    patterns = ("*token*.json", "*token*.model", "vocab.*", "merges.txt")
    return _fingerprint(name, "model", config.get("revision_of_model"), *patterns)


def chat_template_fingerprint(config: Mapping[str, Any]) -> str:
    """Return what tells a native stage's chat template from others; empty for other prompts and for axolotl's own."""
    if not any(
        str(entry.get("type")).startswith("prompt_strategies.native") for entry in config.get("datasets") or []
    ):
        return ""
    if given := config.get("chat_template_jinja"):
        return "" if "{" in given or not Path(given).is_file() else file_digest(Path(given))
    if config.get("chat_template") not in (None, "tokenizer_default"):
        return ""
    name = config.get("tokenizer_config") or config["base_model"]
    return _fingerprint(name, "model", config.get("revision_of_model"), "chat_template*", "tokenizer_config.json")


def dataset_fingerprints(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the path and the fingerprint of each dataset that a stage's config names, as it is now."""
    entries = (*config["datasets"], *(config.get("test_datasets") or []))
    paths = {entry["path"]: entry for entry in entries}
    return [{"path": path, "fingerprint": shards_fingerprint(entry)} for path, entry in paths.items()]


def stage_identity(path: Path, overrides: Mapping[str, Any]) -> Identity:
    """Return the identity that a run of a stage's YAML with these overrides would have now. Raises UserError."""
    config = {**read_config(path), **overrides}
    lay_over(config)
    return run_identity(config, dataset_fingerprints(config))


def find_overrides(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that axolotl has read otherwise than they stand in its YAML, of those that decide anything."""
    written = read_config(Path(config["axolotl_config_path"]))
    return deepcopy({key: value for key, value in config.items() if not _is_free(key) and value != written.get(key)})


def made_of(identity: Identity) -> Identity:
    """Return the part of an identity that makes a finished run stale where it changes: not how the run was spread."""
    deepspeed = identity.get("config.deepspeed", "").strip('"')
    spread = tuple(f"config.{key}" for key in SPREAD)
    return {name: text for name, text in identity.items() if not name.startswith(spread) and name != deepspeed}


def changes(before: Identity, now: Identity) -> str:
    """Say what differs between two identities, such as `learning_rate was 0.006, not 0.0002`; or an empty string."""
    unknown = {name for name in before.keys() & now.keys() if "" in (before[name], now[name])}
    names = [name for name in {**before, **now} if before.get(name) != now.get(name) and name not in unknown]
    return ", ".join(_change(name, before.get(name), now.get(name)) for name in names)


def _change(name: str, before: str | None, now: str | None) -> str:
    key = name.removeprefix("config.").removeprefix("version.")
    if key == name or max(len(before or ""), len(now or "")) > 100:
        return f"{key} was another"
    return f"{key} was {before or 'not set'}, not {now}" if now else f"{key} was {before}, and is not set now"


def set_prepared_path(cfg: Any) -> None:
    """Put the prepared rows, and what `datasets` keeps of the raw ones, into folders named by what they depend on."""
    depends_on = [
        source_fingerprint(),
        dataset_fingerprints(cfg),
        tokenizer_fingerprint(cfg),
        {option: cfg.get(option) for option in OPTIONS},
        versions(("transformers", "tokenizers", "fastokens")),
    ]
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).hexdigest()
    cfg["dataset_prepared_path"] = str(Path(cfg["dataset_prepared_path"]) / digest[:16])
    use_raw_folder(cfg)


def use_raw_folder(cfg: Any) -> None:
    """Let `datasets` keep raw rows beside the prepared ones: it keys its own cache by the times of files."""
    import datasets

    prepared = Path(cfg["dataset_prepared_path"])
    datasets.config.HF_DATASETS_CACHE = prepared.parent / "raw" / prepared.name


def remove_unfinished(prepared: Path) -> None:
    """Remove what an interrupted run left half-written, which axolotl would take for prepared rows."""
    prepared.mkdir(parents=True, exist_ok=True)
    # Axolotl holds this lock while it writes.
    with FileLock(prepared / "datasets_prep.lock"):
        for folder in prepared.glob("*/"):
            # `datasets` writes this file last.
            if not (folder / "dataset_info.json").exists():
                shutil.rmtree(folder)
