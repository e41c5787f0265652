"""Mistakes in a stage's YAML that axolotl would pass over, or end in a traceback."""

import difflib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prompt_strategies.template import template_for

SFT_TYPES = tuple(f"prompt_strategies.{name}" for name in ("qir", "qir_every_turn", "iir"))
DPO_TYPES = tuple(f"prompt_strategies.{name}" for name in ("qir_dpo", "iir_dpo"))


def find_mistake(config: Any, known_keys: Iterable[str], dataset_keys: Iterable[str]) -> str | None:
    """Return the first mistake of a stage's YAML as one line, or None."""
    return next(_mistakes(config, known_keys, dataset_keys), None)


def _mistakes(config: dict[str, Any], known_keys: Iterable[str], dataset_keys: Iterable[str]) -> Iterator[str]:
    yield from _unknown_keys(config, known_keys, "")
    for key in ("base_model", "output_dir", "dataset_prepared_path"):
        if not isinstance(config.get(key), str):
            yield f"{key}: missing; it must be a path or, for the base model, a hub id"
    yield from _wrong_shape(config)
    yield from _mixed_prompts(config)
    yield from _unwanted(config)
    for section in ("datasets", "test_datasets"):
        for index, entry in enumerate(config.get(section) or []):
            yield from _unknown_keys(entry, dataset_keys, f"{section}[{index}].")
            yield from _wrong_type(entry, DPO_TYPES if config.get("rl") else SFT_TYPES, f"{section}[{index}]")
            if entry.get("shards"):
                yield f"{section}[{index}].shards: take fewer rows with `fraction` in data.yaml, which counts them"
            yield from _missing_shards(entry, f"{section}[{index}]")
    yield from _missing_base(str(config.get("base_model")))


def _wrong_shape(config: dict[str, Any]) -> Iterator[str]:
    if not config.get("datasets"):
        yield "datasets: missing; it needs a `path` and a `type` such as `prompt_strategies.qir`"
    for section in ("datasets", "test_datasets"):
        entries = config.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            yield f"{section}: must be a list of entries with `path`, `split` and `type`"
        for key in ("path", "split"):
            if any(not isinstance(entry, dict) or not isinstance(entry.get(key), str) for entry in entries):
                yield f"{section}: each entry needs a `{key}`"


def _mixed_prompts(config: dict[str, Any]) -> Iterator[str]:
    entries = [*config["datasets"], *(config.get("test_datasets") or [])]
    if len({template_for(str(entry.get("type"))) for entry in entries}) > 1:
        yield "datasets: qir and iir in one stage; the saved chat template can be only one of them"


def _unwanted(config: dict[str, Any]) -> Iterator[str]:
    reasons = {
        "chat_template": "take it away; the guard sets the one of this stage's prompt",
        "chat_template_jinja": "take it away; the guard sets the one of this stage's prompt",
        "streaming": "rows cannot be checked before the run; take it away",
        "pretraining_dataset": "rows cannot be checked before the run; use `datasets`",
        "train_on_inputs": "only answers are trained; take it away",
        "save_only_model": "a run could not go on from such a checkpoint; take it away",
        "val_set_size": "answers of one conversation would be in both splits; use `test_datasets`",
    }
    if config.get("rl") not in (None, "dpo", "ipo"):
        yield "rl: this project's rows and checks are for dpo and ipo"
    if config.get("adapter") and config.get("merge_method") != "legacy":
        yield "merge_method: must be `legacy`; axolotl's other one keeps the base's tokenizer, chat template included"
    if config.get("rl"):
        reasons["lora_model_dir"] = "axolotl ignores it in DPO and starts from the bare base; merge the adapter first"
    if config.get("save_total_limit") == 1:
        yield "save_total_limit: with 1, the last whole checkpoint goes before the next one is sealed; use 2 or more"
    if config.get("use_trackio") and not _transformers_can_use_trackio():
        yield "use_trackio: the installed trackio is older than transformers wants; use_tensorboard shows the same"
    for key, why in reasons.items():
        if config.get(key):
            yield f"{key}: {why}"


def _transformers_can_use_trackio() -> bool:
    """Tell whether trackio takes all that transformers hands it; axolotl 0.19 pins one that does not."""
    try:
        import trackio
    except ImportError:
        return False
    return "bucket_id" in inspect.signature(trackio.init).parameters


def _unknown_keys(section: dict[str, Any], known: Iterable[str], place: str) -> Iterator[str]:
    for key in section.keys() - set(known):
        yield f"{place}{key}: unknown key{_nearest(key, known)}"


def _wrong_type(entry: dict[str, Any], types: tuple[str, ...], place: str) -> Iterator[str]:
    if (kind := str(entry.get("type"))) not in types:
        yield f"{place}.type: `{kind}` is none of this stage's prompts: {', '.join(types)}"


def _missing_shards(entry: dict[str, Any], place: str) -> Iterator[str]:
    folder, split = Path(entry["path"]), entry["split"].split("[")[0]
    if folder.is_file():
        return
    if len(folder.parts) > 1 and folder.parts[0] == "data" and not any(folder.glob(f"{split}-*.parquet")):
        yield f"{place}.path: {folder} holds no {split} shards; run `make data RECIPE={folder.parts[1]}` first"


def _missing_base(base: str) -> Iterator[str]:
    folder = Path(base)
    if base.startswith("runs/") and not any(folder.glob("*.safetensors")):
        goal = "merge" if base.endswith("merged") else "sft"
        yield f"base_model: {base} is not there; run `make {goal} RECIPE={folder.parts[1]}` first"
    if folder.is_dir() and not (folder / "config.json").is_file():
        yield f"base_model: {base} holds no config.json, so it is no model"
    if not folder.is_dir() and (base.startswith((".", "/", "~")) or base.count("/") > 1):
        yield f"base_model: {base}: no such folder"


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...` with the nearest known name, or nothing."""
    matches = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean `{matches[0]}`?" if matches else ""
