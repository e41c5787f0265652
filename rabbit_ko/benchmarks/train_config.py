"""A recipe's own stage with the few keys changed that a benchmark has to change, and why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.attention import AUTO, INSTALLED
from rabbit_ko.recipes import read_config

METER = "rabbit_ko.benchmarks.meter.Meter"
LIGER = "axolotl.integrations.liger.LigerPlugin"
# What a CPU cannot do, by key: the value in its place and the reason.
ON_CPU: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(LORA_KERNELS, (False, "Triton needs a GPU")),
    "bf16": (False, "float32 is what a CPU is fast in"),
    "tf32": (False, "a GPU's format"),
}
# Evaluation and checkpoints would stand between the steps that are timed.
DROPPED = ("test_datasets", "evals_per_epoch", "eval_strategy", "saves_per_epoch", "save_steps", "save_total_limit")


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes, how many steps it takes, and how long its sequences are."""

    base: Path
    data: Path
    output: Path
    steps: int
    sequence_len: int


def write_config(stage: Path, place: Place, cuda: bool, attention: str | None = None) -> list[str]:
    """Write `config.yaml` into the output folder, and return what else than place and length differs, a line each.

    attention: what to use in the place of the stage's own.
    """
    config = read_config(stage)
    said = [*_adapt_attention(config, cuda, attention), *([] if cuda else _adapt_to_cpu(config))]
    kind = "dpo" if config.get("rl") else "sft"
    for key in DROPPED:
        config.pop(key, None)
    config |= {
        "base_model": str(place.base),
        "plugins": [*config["plugins"], METER],
        "datasets": [{**config["datasets"][0], "path": str(place.data / kind)}],
        "dataset_prepared_path": str(place.output / "prepared"),
        "output_dir": str(place.output),
        "max_steps": place.steps,
        "save_strategy": "no",
        "sequence_len": place.sequence_len,
        # The base is random, so it is no merged model of this recipe's.
        **({"guard_any_dpo_base": True} if kind == "dpo" else {}),
    }
    place.output.mkdir(parents=True, exist_ok=True)
    (place.output / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return said


def _adapt_attention(config: dict[str, Any], cuda: bool, asked: str | None) -> list[str]:
    name = config.get("attn_implementation")
    if asked:
        config["attn_implementation"] = asked
        return [f"attn_implementation: {asked} instead of {name}, as asked"] if asked != name else []
    if name not in INSTALLED or (cuda and INSTALLED[name]()):
        return []
    config["attn_implementation"] = AUTO
    return [f"attn_implementation: {AUTO} instead of {name}, which is not installed or cannot run here"]


def _adapt_to_cpu(config: dict[str, Any]) -> list[str]:
    said = []
    for key, (value, why) in ON_CPU.items():
        if config.get(key) not in (None, value):
            said.append(f"{key}: {str(value).lower()}, since {why}")
        config[key] = value
    if LIGER in config["plugins"]:
        config["plugins"] = [plugin for plugin in config["plugins"] if plugin != LIGER]
        taken = [key for key in config if key.startswith("liger_")]
        for key in taken:
            del config[key]
        said.append(f"{', '.join(taken)}: taken away, since Triton needs a GPU")
    return said
