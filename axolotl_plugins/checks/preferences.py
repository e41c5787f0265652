"""Mistakes in what a stage says of its method: keys that it does not read, and values that turn it round."""

import math
from collections.abc import Mapping, MutableMapping
from typing import Any

from rabbit_ko.errors import UserError, suggest

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
# The losses of TRL's DPO, those that read `label_smoothing`, and those that have no weights of pairs.
SMOOTHED = {"robust", "exo_pair", "aot", "aot_unpaired"}
UNWEIGHTED = {"aot", "aot_unpaired"}
LOSSES = SMOOTHED | {
    *("sigmoid", "sigmoid_norm", "hinge", "ipo", "nca_pair", "bco_pair", "sppo_hard"),
    *("apo_zero", "apo_down", "discopop", "sft"),
}
# With 0 nothing is learned from preferences, and below it the rejected answers; a target or a term may be 0.
ABOVE_ZERO = ("rl_beta", "orpo_alpha", "kto_desirable_weight", "kto_undesirable_weight")
NOT_NEGATIVE = ("simpo_gamma", "cpo_alpha")
TRL_BETA = 0.1


def set_defaults(config: MutableMapping[str, Any]) -> None:
    """Let SimPO be SimPO: without `cpo_alpha`, TRL adds CPO's likelihood term, with a weight of 1."""
    if config.get("rl") == "simpo" and config.get("cpo_alpha") is None:
        config["cpo_alpha"] = 0.0


def refuse(config: Mapping[str, Any], unwanted: Mapping[str, str]) -> None:
    """Raise UserError for the first key that is set and unwanted, with why."""
    for key, why in unwanted.items():
        if config.get(key):
            raise UserError(f"{key}: take it away: {why}")


def check_preferences(config: Mapping[str, Any], rl: str) -> None:
    """Raise UserError for the first mistake in what a stage says of its method."""
    for key, methods in OF_METHODS.items():
        if config.get(key) is not None and rl not in methods:
            raise UserError(f"{key}: `rl: {rl}` does not read it, only {' and '.join(methods)}; take it away")
    refuse(config, UNWANTED_WITH_RL)
    if config.get("lora_model_dir"):
        does = "trains that adapter further" if rl in ("orpo", "simpo") else "ignores it"
        raise UserError(
            f"lora_model_dir: axolotl {does} in {rl.upper()}, which starts from base_model; merge it first"
        )
    if config.get("sample_packing"):
        raise UserError("sample_packing: is for SFT alone; take it away")
    _check_numbers(config)
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


def _check_numbers(config: Mapping[str, Any]) -> None:
    for key in ABOVE_ZERO + NOT_NEGATIVE:
        if config.get(key) is None:
            continue
        value = _number(key, config[key])
        if value == 0 and key.startswith("kto_"):
            raise UserError(f"{key}: axolotl takes 0 for 1; to train on one label, keep only its rows")
        if value < 0 or (value == 0 and key in ABOVE_ZERO):
            raise UserError(f"{key}: {value:g} must be {'above 0' if key in ABOVE_ZERO else '0 or more'}")


def _number(key: str, value: Any) -> float:
    """Return what axolotl reads as a number, which may be text such as 1e-1. Raises UserError."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{key}: `{value}` is not a number")
    return number


def _check_dpo_losses(config: Mapping[str, Any]) -> None:
    losses = _losses(config)
    given = config.get("dpo_label_smoothing")
    smoothing = 0.0 if given is None else _number("dpo_label_smoothing", given)
    if smoothing and not SMOOTHED.intersection(losses):
        said = f"TRL reads it with dpo_loss_type {', '.join(sorted(SMOOTHED))} alone"
        raise UserError(f"dpo_label_smoothing: {said}; set `dpo_loss_type: [robust]`, or take it away")
    if not 0 <= smoothing < 0.5 or (not smoothing and "exo_pair" in losses):
        raise UserError("dpo_label_smoothing: must be below 0.5, and with exo_pair above 0, such as 0.001")
    if config.get("dpo_use_weighting") and (found := UNWEIGHTED.intersection(losses)):
        raise UserError(f"dpo_use_weighting: TRL has no weights of pairs with {min(found)}; take one of them away")
    if (weights := config.get("dpo_loss_weights")) is None:
        return
    if not isinstance(weights, list):
        raise UserError("dpo_loss_weights: must be a list of numbers, one for each loss in dpo_loss_type")
    if any(_number("dpo_loss_weights", weight) <= 0 for weight in weights):
        raise UserError("dpo_loss_weights: each must be above 0")
    if len(weights) != len(losses):
        raise UserError("dpo_loss_weights: must be as many as the losses in dpo_loss_type")


def _losses(config: Mapping[str, Any]) -> list[str]:
    losses = config.get("dpo_loss_type")
    if losses is None:
        return ["sigmoid"]
    if not isinstance(losses, list):
        raise UserError("dpo_loss_type: must be a list, such as `[sigmoid]`")
    for loss in map(str, losses):
        if loss not in LOSSES:
            raise UserError(f"dpo_loss_type: `{loss}` is no loss of TRL's DPO{suggest(loss, sorted(LOSSES))}")
    return losses


def describe_beta(config: Mapping[str, Any]) -> str | None:
    """Return what is to be said of a checked stage's beta that is too small for rewards of means, or None."""
    is_simpo, beta = config.get("rl") == "simpo", float(config.get("rl_beta") or TRL_BETA)
    if beta >= 1 or not (is_simpo or "sigmoid_norm" in (config.get("dpo_loss_type") or ())):
        return None
    return (
        f"rl_beta: {beta:g} is small where rewards are means over tokens, as in "
        f"{'SimPO' if is_simpo else 'sigmoid_norm'}, so that little is learned; 2 to 10 is usual"
    )


def _check_kto(config: Mapping[str, Any]) -> None:
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
