"""Mistakes in a stage's YAML that axolotl would pass over, or end in a traceback; and the guard's own keys in it."""

import difflib
import inspect
from collections.abc import Iterator, MutableMapping, Set
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


# Axolotl passes each of these to the trainer of some methods, and by others it is not read, without a word.
OF_METHODS = {
    **dict.fromkeys(("dpo_loss_type", "dpo_loss_weights", "dpo_label_smoothing"), ("dpo",)),
    **dict.fromkeys(("dpo_use_weighting", "dpo_padding_free", "dpo_use_liger_kernel"), ("dpo", "ipo")),
    "precompute_ref_log_probs": ("dpo", "ipo"),
    **dict.fromkeys(("simpo_gamma", "cpo_alpha"), ("simpo",)),
    "orpo_alpha": ("orpo",),
    **dict.fromkeys(("kto_desirable_weight", "kto_undesirable_weight"), ("kto",)),
}
UNWANTED_WITH_RL = {
    "lora_dropout": "TRL's trainers of preferences switch dropout off",
    "trl": "its `beta` would come before rl_beta, and the rest of it is for methods that are not here",
    **dict.fromkeys(("group_by_length", "curriculum_sampling"), "SFT's trainer alone reads it"),
}
# The losses of TRL's DPO that read `label_smoothing`.
SMOOTHED = {"robust", "exo_pair", "aot", "aot_unpaired"}


def set_defaults(config: MutableMapping[str, Any]) -> None:
    """Let SimPO be SimPO: without `cpo_alpha`, TRL adds CPO's likelihood term, with a weight of 1."""
    if config.get("rl") == "simpo" and config.get("cpo_alpha") is None:
        config["cpo_alpha"] = 0.0


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
        _refuse(config, OF_NATIVE)


def _refuse(config: dict[str, Any], unwanted: dict[str, str]) -> None:
    for key, why in unwanted.items():
        if config.get(key):
            raise UserError(f"{key}: take it away: {why}")


def _check_options(config: dict[str, Any], method: Method) -> None:
    _refuse(config, UNWANTED)
    if config.get("adapter") and config.get("merge_method") != "legacy":
        raise UserError("merge_method: must be `legacy`; axolotl's other one keeps the base's tokenizer and template")
    if method.rl:
        _check_preference_options(config, method.rl)
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


def _check_preference_options(config: dict[str, Any], rl: str) -> None:
    for key, methods in OF_METHODS.items():
        if config.get(key) is not None and rl not in methods:
            raise UserError(f"{key}: `rl: {rl}` does not read it, only {' and '.join(methods)}; take it away")
    _refuse(config, UNWANTED_WITH_RL)
    if config.get("lora_model_dir"):
        raise UserError("lora_model_dir: axolotl ignores it in DPO and starts from the bare base; merge it first")
    if config.get("sample_packing"):
        raise UserError("sample_packing: is for SFT alone; take it away")
    if config.get("orpo_alpha") is not None and config.get("rl_beta") is not None:
        raise UserError("orpo_alpha: axolotl takes rl_beta for it where both are set; take one of them away")
    _check_dpo_losses(config)
    for key in ("rl_beta", "simpo_gamma") if rl == "simpo" else ():
        if config.get(key) is None:
            raise UserError(
                f"{key}: missing; SimPO's rewards are means over tokens: try rl_beta 2.0, simpo_gamma 1.0"
            )
    if rl == "kto":
        _check_kto(config)


def _check_dpo_losses(config: dict[str, Any]) -> None:
    losses, smoothing = config.get("dpo_loss_type") or ["sigmoid"], config.get("dpo_label_smoothing") or 0
    if smoothing and not SMOOTHED.intersection(losses):
        said = f"TRL reads it with dpo_loss_type {', '.join(sorted(SMOOTHED))} alone"
        raise UserError(f"dpo_label_smoothing: {said}; set `dpo_loss_type: [robust]`, or take it away")
    if not 0 <= smoothing < 0.5 or (not smoothing and "exo_pair" in losses):
        raise UserError("dpo_label_smoothing: must be below 0.5, and with exo_pair above 0, such as 0.001")
    if len(config.get("dpo_loss_weights") or losses) != len(losses):
        raise UserError("dpo_loss_weights: must be as many as the losses in dpo_loss_type")


def _check_kto(config: dict[str, Any]) -> None:
    for key in ("kto_desirable_weight", "kto_undesirable_weight"):
        if config.get(key) == 0:
            raise UserError(f"{key}: axolotl takes 0 for 1; to train on one label, keep only its rows")
    if config.get("remove_unused_columns") is not False:
        raise UserError("remove_unused_columns: must be false in KTO")
    # Its trainer takes the rows as they lie, and makes the KL term of the answers that lie side by side.
    if config.get("shuffle_merged_datasets") is False:
        raise UserError(
            "shuffle_merged_datasets: must not be false in KTO, where answers to a question would be next"
        )
    if config.get("dataset_num_proc") not in (0, 1):
        raise UserError("dataset_num_proc: must be 0 or 1 in KTO, so that its micro-batches are those of training")


def check_neighbours(cfg: Any) -> None:
    """Raise UserError where a process's micro-batches are too small for KTO."""
    if cfg.get("rl") == "kto" and int(cfg.get("micro_batch_size") or 1) < 2:
        raise UserError(
            "micro_batch_size: at least 2 for each process in KTO, which takes each question with the answer before "
            "it in the micro-batch, too"
        )


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
