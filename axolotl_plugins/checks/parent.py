"""Where a preference run starts: from its parent stage's merged model, trained on this recipe's data."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axolotl_plugins.fingerprints import shards_fingerprint
from rabbit_ko.hashing import file_digest
from rabbit_ko.methods import method_of
from rabbit_ko.recipes import RUN_FILE

# In the merged model's config.json: the hash of the adapter that was merged into it.
MERGED_ADAPTER = "merged_adapter_sha256"
ADAPTER = "adapter_model.safetensors"


def adapter_digest(folder: Path) -> str:
    """Return the hash of a run's adapter; empty where the run trained all weights."""
    adapter = folder / ADAPTER
    return file_digest(adapter) if adapter.exists() else ""


def find_parent_mistake(cfg: Any) -> str | None:
    """Return why a run must not start from its base, or None; a method without a parent starts from any base."""
    parent = method_of(cfg).parent
    if parent is None or cfg.guard_any_parent:
        return None
    mistake = next(_mistakes(cfg, Path(cfg.base_model), parent), None)
    return (
        mistake and f"base_model: {cfg.base_model} {mistake}, or set `guard_any_parent: true` to start from any model"
    )


def _mistakes(cfg: Any, base: Path, parent: str) -> Iterator[str]:
    run_folder = base if (base / RUN_FILE).exists() else base.parent
    if not (run_folder / RUN_FILE).exists():
        yield f"is not a merged {parent.upper()} model of this project; run `make {parent}` and `make merge`"
        return
    run = json.loads((run_folder / RUN_FILE).read_text(encoding="utf-8"))
    if method_of(run.get("config", {})).name != parent or (base / "adapter_config.json").exists():
        yield f"is not a merged {parent.upper()} model; run `make merge`"
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    if run_folder != base and config.get(MERGED_ADAPTER) != adapter_digest(run_folder):
        yield f"was not merged from the adapter in {run_folder}; remove it and run `make merge`"
    trained_on = [entry for entry in run.get("datasets", []) if Path(entry["path"]).is_dir()]
    for entry in trained_on:
        if shards_fingerprint(entry) != entry["fingerprint"]:
            yield f"was trained on {entry['path']} as it was before; run `make {parent}` again"
    ours, theirs = _recipes(cfg.datasets), _recipes(trained_on)
    if ours and theirs and ours.isdisjoint(theirs):
        yield f"was trained on {min(theirs)}, and this run's rows are {min(ours)}'s; train both on one recipe's data"


def _recipes(entries: Any) -> set[str]:
    return {str(Path(entry["path"]).parent) for entry in entries if Path(entry["path"]).is_dir()}
