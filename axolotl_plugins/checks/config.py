"""Mistakes in a stage's YAML that axolotl would pass over, or end in a traceback; and the guard's own keys in it."""

import difflib
import inspect
from collections.abc import Iterator, Set
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from axolotl.cli.args import InferenceCliArgs, PreprocessCliArgs, TrainerCliArgs
from axolotl.integrations.base import PluginManager
from axolotl.utils.schemas.config import AxolotlConfigWCapabilities
from axolotl.utils.schemas.datasets import DPODataset, SFTDataset
from pydantic import BaseModel, Field

from axolotl_plugins.checks.base_model import looks_like_a_path
from axolotl_plugins.checks.model_files import check_configs, check_foreign_code, trusts
from axolotl_plugins.checks.preferences import check_preferences, refuse
from axolotl_plugins.resume.identity import INTERNAL
from prompt_strategies.template import Native, template_for, types_of
from rabbit_ko.errors import UserError, suggest
from rabbit_ko.methods import Method, method_of
from rabbit_ko.recipes import DATA, GUARD, RUNS
from rabbit_ko.secrets import check_no_secret

OF_NATIVE = dict.fromkeys(("chat_template", "chat_template_jinja"), "the guard sets the one of this stage's prompt")
UNWANTED = {
    **dict.fromkeys(("streaming", "pretraining_dataset"), "rows cannot be checked before the run"),
    "train_on_inputs": "only answers are trained",
    "save_only_model": "a run could not resume from such a checkpoint",
    "val_set_size": "answers of one conversation would be in both splits; use `test_datasets`",
}


class GuardArgs(BaseModel):
    """The guard's keys, which axolotl adds to its schema; see guarantees.md, training.md and scaling.md."""

    guard_max_dropped: float = Field(default=0.1, ge=0, le=1)
    guard_any_parent: bool = False
    guard_keep_batch: bool = True
    guard_mean_over_tokens: bool = True
    guard_fresh: bool = False
    guard_trust_remote_code: bool = False
    guard_sharding: str | None = None
    guard_driver: str | None = None  # what Ray's driver tells its workers, in JSON; not for a YAML


def check_config(config: dict[str, Any]) -> None:
    """Raise UserError, in one line, for the first mistake of a stage's YAML."""
    method = method_of(config)
    _check_keys(config, _known_keys(config), "")
    for key in ("base_model", "output_dir", "dataset_prepared_path"):
        if not isinstance(config.get(key), str):
            raise UserError(f"{key}: missing; it must be a path or, for the base model, a hub id")
    check_foreign_code(config)
    check_no_secret(config)
    _check_options(config, method)
    check_configs(Path(config["base_model"]), trusts(config))
    entries = [entry for section in ("datasets", "test_datasets") for entry in _entries(config, section, method)]
    if not config.get("datasets"):
        raise UserError("datasets: missing; it needs a `path` and a `type` such as `prompt_strategies.qir`")
    templates = {template_for(entry["type"]) for entry in entries}
    if len(templates) > 1:
        raise UserError("datasets: two templates in one stage; the saved chat template can be only one of them")
    if not isinstance(templates.pop(), Native):
        refuse(config, OF_NATIVE)


def _check_options(config: dict[str, Any], method: Method) -> None:
    refuse(config, UNWANTED)
    if config.get("adapter") and config.get("merge_method") != "legacy":
        raise UserError("merge_method: must be `legacy`; axolotl's other one keeps the base's tokenizer and template")
    if method.rl:
        check_preferences(config, method.rl)
    if config.get("save_total_limit") == 1:
        raise UserError("save_total_limit: with 1, the last checkpoint goes before the next is complete; use 2")
    if config.get("use_trackio"):
        from trackio import init

        if "bucket_id" not in inspect.signature(init).parameters:  # as in the one that axolotl 0.19 pins
            raise UserError("use_trackio: the installed trackio is too old for transformers; set use_tensorboard")
    base, folder = config["base_model"], Path(config["base_model"])
    if folder.is_relative_to(RUNS) and not any(folder.glob("*.safetensors")):
        recipe, *stage = folder.parts[1:]
        goal = f"merge RECIPE={recipe} STAGE={stage[0]}" if folder.name == "merged" else f"sft RECIPE={recipe}"
        raise UserError(f"base_model: {base} is not there; run `make {goal}` first")
    if not folder.is_dir() and looks_like_a_path(base):
        raise UserError(f"base_model: {base}: no such folder")


def _entries(config: dict[str, Any], section: str, method: Method) -> Iterator[dict[str, Any]]:
    """Yield the checked entries of a section."""
    entries, types = config.get(section) or [], types_of(method.rows)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{section}: must be a list of entries with `path`, `split` and `type`")
    for index, entry in enumerate(entries):
        place = f"{section}[{index}]"
        _check_keys(entry, SFTDataset.model_fields.keys() | DPODataset.model_fields.keys(), f"{place}.")
        if missing := next((key for key in ("path", "split") if key not in entry), None):
            raise UserError(f"{section}: each entry needs a `{missing}`")
        if (kind := str(entry.get("type"))) not in types:
            raise UserError(f"{place}.type: `{kind}` is not a prompt for {method.name}{suggest(kind, types)}")
        if entry.get("shards"):
            raise UserError(f"{place}.shards: take fewer rows with `fraction` in data.yaml, which counts them")
        folder, split = Path(entry["path"]), entry["split"].split("[")[0]
        is_built = folder.is_file() or any(folder.glob(f"{split}-*.parquet"))
        if not is_built and section == "test_datasets" and any(folder.glob("train-*.parquet")):
            raise UserError(
                f"{place}.path: {folder} has no {split} rows; raise test_size in data.yaml, so that some are drawn, "
                "or take test_datasets and the evaluation out of this YAML"
            )
        if not is_built and folder.is_relative_to(DATA) and folder != DATA:
            raise UserError(f"{place}.path: {folder} holds no {split} shards; run `{_builds(folder)}` first")
        yield entry


def _builds(folder: Path) -> str:
    match folder.parts[1:]:
        case ("pairs", recipe, stage, *_):
            return f"make pairs RECIPE={recipe} STAGE={stage}"
        case (recipe, *_):
            return f"make data RECIPE={recipe}"
    return "make data"


def _known_keys(config: dict[str, Any]) -> set[str]:
    """Return what may stand in a stage's YAML or on axolotl's command line; each plugin brings keys of its own."""
    commands = (PreprocessCliArgs, TrainerCliArgs, InferenceCliArgs)
    known = {*AxolotlConfigWCapabilities.model_fields, *INTERNAL}
    known.update(field.name for command in commands for field in fields(command))
    registered = PluginManager.get_instance().plugins
    for name in {GUARD, *config["plugins"]} & registered.keys():
        if schema := registered[name].get_input_args():
            module, _, model = schema.rpartition(".")
            known.update(getattr(import_module(module), model).model_fields)
    return known - {"guard_driver"}


def _check_keys(section: dict[str, Any], known: Set[str], place: str) -> None:
    """Axolotl drops a key silently that it does not know."""
    for key in section.keys() - known:
        nearest = difflib.get_close_matches(key, sorted(known), n=1)
        raise UserError(f"{place}{key}: unknown key{f'; did you mean `{nearest[0]}`?' if nearest else ''}")
