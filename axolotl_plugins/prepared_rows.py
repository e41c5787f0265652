"""A folder for prepared rows that no other rows can have been prepared into.

Axolotl keys its cache by paths and some options. This adds what the rows really depend on: the bytes of the shards,
the source of the prompt strategies, the tokenizer's files, and the options and libraries that decide about tokens.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
from filelock import FileLock

from axolotl_plugins.fingerprints import shards_fingerprint, tokenizer_fingerprint
from prompt_strategies.template import source_fingerprint
from rabbit_ko.hashing import versions

OPTIONS = (
    "added_tokens_overrides",
    "datasets",
    "eval_sequence_len",
    "excess_length_strategy",
    "min_sample_len",
    "sequence_len",
    "special_tokens",
    "test_datasets",
    "tokenizer_legacy",
    "tokenizer_type",
    "tokenizer_use_fast",
    "tokens",
)


def set_prepared_path(cfg: Any) -> None:
    """Put the prepared rows, and what `datasets` keeps of the raw ones, into folders named by what they depend on."""
    digest = hashlib.sha256("\0".join(_dependencies(cfg)).encode()).hexdigest()
    cfg["dataset_prepared_path"] = str(Path(cfg["dataset_prepared_path"]) / digest[:16])
    use_raw_folder(cfg)


def _dependencies(cfg: Any) -> Iterator[str]:
    yield source_fingerprint()
    yield json.dumps({option: cfg.get(option) for option in OPTIONS}, sort_keys=True, default=str)
    yield json.dumps(versions(("transformers", "tokenizers")))
    for entry in (*(cfg.get("datasets") or []), *(cfg.get("test_datasets") or [])):
        yield shards_fingerprint(entry)
    yield tokenizer_fingerprint(cfg)


def use_raw_folder(cfg: Any) -> None:
    """Let `datasets` keep raw rows beside the prepared ones, in a folder of the same name.

    It keys its own cache of local files by their times, which `rsync -t` and `cp -p` keep.
    """
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
