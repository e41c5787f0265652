"""Fingerprints of what a run reads: shards, a model's weights, a tokenizer's files; by content, or the hub's commit.

Needs neither axolotl nor torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rabbit_ko.hashing import files_digest
from rabbit_ko.hub import hub_commit

TOKENIZER_FILES = ("*token*.json", "*token*.model", "vocab.*", "merges.txt")


def shards_fingerprint(entry: Mapping[str, Any]) -> str:
    """Return a digest of a dataset entry's files, or the commit of a hub dataset; empty where neither can be had."""
    folder = Path(entry["path"])
    if folder.exists():
        return files_digest([folder] if folder.is_file() else folder.rglob("*"))
    return hub_commit(entry["path"], "dataset", entry.get("revision"))


def model_fingerprint(model: str, revision: str | None) -> str:
    """Return a digest of a local model's weights and config, or the commit of a hub model."""
    folder = Path(model)
    if folder.is_dir():
        return files_digest([*folder.glob("*.safetensors"), *folder.glob("*.bin"), folder / "config.json"])
    return hub_commit(model, "model", revision)


def tokenizer_fingerprint(config: Mapping[str, Any]) -> str:
    """Return a digest of the files of a stage's tokenizer, or the commit of a hub model's."""
    tokenizer = config.get("tokenizer_config") or config["base_model"]
    if Path(tokenizer).exists():
        return files_digest(file for pattern in TOKENIZER_FILES for file in Path(tokenizer).glob(pattern))
    return hub_commit(tokenizer, "model", config.get("revision_of_model"))
