"""Mistakes in a stage's YAML that axolotl would pass over, or end in a traceback."""

import difflib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from axolotl.cli.args import InferenceCliArgs, PreprocessCliArgs, TrainerCliArgs
from axolotl.integrations.base import PluginManager
from axolotl.utils.schemas.config import AxolotlConfigWCapabilities
from axolotl.utils.schemas.datasets import DPODataset, SFTDataset

from axolotl_plugins.args import RENAMED
from axolotl_plugins.resume.identity import INTERNAL
from prompt_strategies.template import template_for, types_of
from rabbit_ko.methods import Method, method_of
from rabbit_ko.recipes import GUARD, RUNS

SECTIONS = ("datasets", "test_datasets")
PROMPT_IS_SET = "take it away; the guard sets the one of this stage's prompt"
UNWANTED = {
    "chat_template": PROMPT_IS_SET,
    "chat_template_jinja": PROMPT_IS_SET,
    "streaming": "rows cannot be checked before the run; take it away",
    "pretraining_dataset": "rows cannot be checked before the run; use `datasets`",
    "train_on_inputs": "only answers are trained; take it away",
    "save_only_model": "a run could not resume from such a checkpoint; take it away",
    "val_set_size": "answers of one conversation would be in both splits; use `test_datasets`",
}


def find_config_mistake(config: dict[str, Any]) -> str | None:
    """Return the first mistake of a stage's YAML as one line, or None.

    Raises UserError where its `rl` or the `type` of a dataset is unknown.
    """
    return next(_mistakes(config, method_of(config)), None)


def _mistakes(config: dict[str, Any], method: Method) -> Iterator[str]:
    yield from _unknown_keys(config, _known_keys(config), "")
    for key in ("base_model", "output_dir", "dataset_prepared_path"):
        if not isinstance(config.get(key), str):
            yield f"{key}: missing; it must be a path or, for the base model, a hub id"
    yield from _wrong_shape(config)
    yield from _unwanted(config, method)
    dataset_keys = SFTDataset.model_fields.keys() | DPODataset.model_fields.keys()
    for section in SECTIONS:
        for index, entry in enumerate(config.get(section) or []):
            place = f"{section}[{index}]"
            yield from _unknown_keys(entry, dataset_keys, f"{place}.")
            if (kind := str(entry.get("type"))) not in (types := types_of(method.rows)):
                yield f"{place}.type: `{kind}` is not a prompt for {method.name}; known are {', '.join(types)}"
            if entry.get("shards"):
                yield f"{place}.shards: take fewer rows with `fraction` in data.yaml, which counts them"
            yield from _missing_shards(entry, place)
    entries = [entry for section in SECTIONS for entry in config.get(section) or []]
    if len({template_for(entry["type"]) for entry in entries}) > 1:
        yield "datasets: two templates in one stage; the saved chat template can be only one of them"
    yield from _missing_base(config["base_model"])


def _known_keys(config: dict[str, Any]) -> set[str]:
    """Return what may stand in a stage's YAML or on axolotl's command line; axolotl drops others silently.

    Each plugin that the stage names brings keys of its own.
    """
    arguments = {
        field.name for kind in (PreprocessCliArgs, TrainerCliArgs, InferenceCliArgs) for field in fields(kind)
    }
    known = {*AxolotlConfigWCapabilities.model_fields, *arguments, *INTERNAL}
    registered = PluginManager.get_instance().plugins
    for name in {GUARD, *config["plugins"]} & registered.keys():
        if schema := registered[name].get_input_args():
            module, _, model = schema.rpartition(".")
            known.update(getattr(import_module(module), model).model_fields)
    return known


def _unknown_keys(section: dict[str, Any], known: Iterable[str], place: str) -> Iterator[str]:
    for key in section.keys() - set(known):
        if key in RENAMED:
            yield f"{place}{key}: is called `{RENAMED[key]}` now"
        nearest = difflib.get_close_matches(key, sorted(known), n=1)
        yield f"{place}{key}: unknown key{f'; did you mean `{nearest[0]}`?' if nearest else ''}"


def _wrong_shape(config: dict[str, Any]) -> Iterator[str]:
    if not config.get("datasets"):
        yield "datasets: missing; it needs a `path` and a `type` such as `prompt_strategies.qir`"
    for section in SECTIONS:
        entries = config.get(section) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            yield f"{section}: must be a list of entries with `path`, `split` and `type`"
        for key in ("path", "split"):
            if not all(isinstance(entry.get(key), str) for entry in entries):
                yield f"{section}: each entry needs a `{key}`"


def _unwanted(config: dict[str, Any], method: Method) -> Iterator[str]:
    if config.get("adapter") and config.get("merge_method") != "legacy":
        yield "merge_method: must be `legacy`; axolotl's other one keeps the base's tokenizer, chat template included"
    if method.rows == "dpo" and config.get("lora_model_dir"):
        yield "lora_model_dir: axolotl ignores it in DPO and starts from the bare base; merge the adapter first"
    if config.get("save_total_limit") == 1:
        yield "save_total_limit: with 1, the last checkpoint goes before the next one is complete; use 2 or more"
    if config.get("use_trackio") and not _transformers_can_use_trackio():
        yield "use_trackio: the installed trackio is older than transformers wants; use_tensorboard shows the same"
    yield from (f"{key}: {why}" for key, why in UNWANTED.items() if config.get(key))


def _transformers_can_use_trackio() -> bool:
    """Tell whether trackio takes all that transformers hands it; axolotl 0.19 pins one that does not."""
    try:
        import trackio
    except ImportError:
        return False
    return "bucket_id" in inspect.signature(trackio.init).parameters


def _missing_shards(entry: dict[str, Any], place: str) -> Iterator[str]:
    folder, split = Path(entry["path"]), entry["split"].split("[")[0]
    if folder.is_file():
        return
    if len(folder.parts) > 1 and folder.parts[0] == "data" and not any(folder.glob(f"{split}-*.parquet")):
        yield f"{place}.path: {folder} holds no {split} shards; run `make data RECIPE={folder.parts[1]}` first"


def _missing_base(base: str) -> Iterator[str]:
    folder = Path(base)
    if folder.is_relative_to(RUNS) and not any(folder.glob("*.safetensors")):
        goal = "merge" if base.endswith("merged") else "sft"
        yield f"base_model: {base} is not there; run `make {goal} RECIPE={folder.parts[1]}` first"
    if folder.is_dir() and not (folder / "config.json").is_file():
        yield f"base_model: {base} holds no config.json, so it is no model"
    if not folder.is_dir() and (base.startswith((".", "/", "~")) or base.count("/") > 1):
        yield f"base_model: {base}: no such folder"
