"""Where a DPO run's base comes from: it must be the merged SFT model of this recipe's data, as it is now."""

import json
from pathlib import Path
from typing import Any

from axolotl_plugins.fingerprints import shards_fingerprint
from rabbit_ko.hashing import file_digest
from rabbit_ko.recipes import RUN_FILE

# In the merged model's config.json: the hash of the adapter that was merged into it.
MERGED_ADAPTER = "merged_adapter_sha256"
ADAPTER = "adapter_model.safetensors"
UNLESS = "or set `guard_any_dpo_base: true` to start from any model"


def adapter_digest(folder: Path) -> str:
    """Return the hash of a run's adapter; empty where the run trained all weights."""
    adapter = folder / ADAPTER
    return file_digest(adapter) if adapter.exists() else ""


def find_base_mistake(cfg: Any) -> str | None:
    """Return why a DPO run must not start from its base, as one line, or None."""
    base = Path(cfg.base_model)
    run = base if (base / RUN_FILE).exists() else base.parent
    if not (run / RUN_FILE).exists():
        return f"base_model: {base} is no merged SFT model of this project; run `make sft` and `make merge`, {UNLESS}"
    sft = json.loads((run / RUN_FILE).read_text(encoding="utf-8"))
    if sft.get("config", {}).get("rl") or (base / "adapter_config.json").exists():
        return f"base_model: {base} is no merged SFT model; run `make merge`, {UNLESS}"
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    if run != base and config.get(MERGED_ADAPTER) != adapter_digest(run):
        return (
            f"base_model: {base} was not merged from the adapter in {run}; remove it and run `make merge`, {UNLESS}"
        )
    trained_on = sft.get("datasets", [])
    for entry in trained_on:
        if Path(entry["path"]).is_dir() and shards_fingerprint(entry) != entry["fingerprint"]:
            return (
                f"base_model: {base} was trained on {entry['path']} as it was before; run `make sft` again, {UNLESS}"
            )
    ours, theirs = _recipes(cfg.datasets), _recipes(trained_on)
    if ours and theirs and ours.isdisjoint(theirs):
        return f"base_model: {base} was trained on {min(theirs)}, this run's preferences are {min(ours)}'s; {UNLESS}"
    return None


def _recipes(entries: Any) -> set[str]:
    return {str(Path(entry["path"]).parent) for entry in entries if Path(entry["path"]).is_dir()}
