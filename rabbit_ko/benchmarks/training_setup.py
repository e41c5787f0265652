"""What `make bench WHAT=train` trains with: a random base, rows, and a recipe's stage with the few keys changed.

Nothing is downloaded. The speed of training does not depend on what the weights are, only on their shape and kind.
"""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerBase

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.attention import AUTO, INSTALLED
from rabbit_ko.benchmarks.corpus import SEED, make_vocabulary, write_texts
from rabbit_ko.methods import RowKind
from rabbit_ko.planning.model_shape import SHAPES
from rabbit_ko.planning.stage import read_stage
from rabbit_ko.recipes import CONFIGS, read_config

METER = "rabbit_ko.benchmarks.training_meter.Meter"
LIGER = "axolotl.integrations.liger.LigerPlugin"
# What the meter writes into a run's folder.
STEPS = "steps.json"
# The same architecture, small enough for some steps on a CPU; the vocabulary is then the tokenizer's.
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
# The spread of generated lengths, and the question's share of a row, as in `corpus.py`.
SPREAD, ASKED = 0.6, 1 / 6
SHORTEST = 12
# What a CPU cannot do, by key: the value in its place and the reason.
ON_CPU: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(LORA_KERNELS, (False, "Triton needs a GPU")),
    "bf16": (False, "float32 is what a CPU is fast in"),
    "tf32": (False, "a GPU's format"),
}
# Evaluation and checkpoints would stand between the steps that are timed.
DROPPED = ("test_datasets", "evals_per_epoch", "eval_strategy", "saves_per_epoch", "save_steps", "save_total_limit")


def make_base(stage: Path, folder: Path, small: bool) -> None:
    """Write random weights and a tokenizer for a stage's base; the folder appears when both are written."""
    tokenizer = make_tokenizer(read_config(stage), small)
    shape = json.loads((SHAPES / f"{read_stage(stage).shape.name}.json").read_text(encoding="utf-8"))
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = LlamaConfig(**shape | ids | ({**SMALL, "vocab_size": len(tokenizer)} if small else {}))
    torch.manual_seed(0)
    # On the GPU where there is one, since 8 billion take minutes on a CPU.
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32 if small else torch.bfloat16)
    new = folder.with_name(f".{folder.name}")
    tokenizer.save_pretrained(new)
    model.save_pretrained(new)
    new.rename(folder)


def make_tokenizer(config: dict[str, Any], small: bool) -> PreTrainedTokenizerBase:
    """Return the base's tokenizer where it is at hand without the network, else the smoke recipe's.

    It knows the special tokens that the stage names, so that axolotl has none to add.
    """
    try:
        if small:
            raise OSError("a small shape has a small vocabulary")
        tokenizer = AutoTokenizer.from_pretrained(config["base_model"], local_files_only=True)
    except (OSError, ValueError):
        tokenizer = runpy.run_path(str(CONFIGS / "smoke/make_base_model.py"))["make_tokenizer"]()
    tokenizer.add_special_tokens(config.get("special_tokens") or {})
    return tokenizer


def take_rows(data: Path, kind: RowKind, count: int) -> pa.Table:
    """Return `count` train rows of the shards in `data`, spread evenly over them, or all that there are."""
    shards = ds.dataset(sorted(map(str, (data / kind).glob("train-*.parquet"))))
    rows, size = shards.count_rows(), min(shards.count_rows(), count)
    return shards.take([index * rows // size for index in range(size)])


def generate_rows(kind: RowKind, tokenizer: Any, count: int, mean: float, longest: int) -> pa.Table:
    """Return rows of some `mean` tokens, lognormal up to `longest`; the same for the same tokenizer."""
    rng, vocabulary = np.random.default_rng([SEED, 3]), make_vocabulary(SEED)
    sample = write_texts(vocabulary, rng, np.array([5_000]))[0]
    words_per_token = 5_000 / len(tokenizer(sample, add_special_tokens=False)["input_ids"])
    drawn = mean * np.exp(SPREAD * rng.standard_normal(count) - SPREAD**2 / 2)
    words = np.clip(drawn, SHORTEST, longest) * words_per_token

    def texts(lengths: Any) -> list[str]:
        return write_texts(vocabulary, rng, np.maximum(lengths.round(), 1).astype(np.int64))

    said = [
        [{"role": role, "content": text}]
        for role, lengths in (("user", words * ASKED), ("assistant", words * (1 - ASKED)))
        for text in texts(lengths)
    ]
    prompts, answers = said[:count], said[count:]
    names = {"id": [f"benchmark/{number}" for number in range(count)], "source": ["benchmark"] * count}
    if kind == "sft":
        pairs = zip(prompts, answers, strict=True)
        return pa.table({**names, "messages": [prompt + answer for prompt, answer in pairs]})
    others = [[{"role": "assistant", "content": text}] for text in texts(rng.permutation(words) * (1 - ASKED))]
    return pa.table({**names, "prompt": prompts, "chosen": answers, "rejected": others})


def write_rows(folder: Path, kind: RowKind, rows: pa.Table) -> None:
    """Write the one train shard of a kind of rows."""
    (folder / kind).mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, folder / kind / "train-00000-of-00001.parquet")


def write_config(stage: Path, changes: dict[str, Any], cuda: bool, attention: str | None = None) -> list[str]:
    """Write a stage's `config.yaml` into the `output_dir` of the changes, without evaluation and checkpoints.

    changes: paths, steps and lengths of the run. attention: what to use in the place of the stage's own.
    Returns what else differs from the stage, a line each.
    """
    config = read_config(stage)
    said = [*_adapt_attention(config, cuda, attention), *([] if cuda else _adapt_to_cpu(config))]
    for key in DROPPED:
        config.pop(key, None)
    datasets = [{**config["datasets"][0], "path": changes.pop("path")}]
    # A random base is no merged model of the recipe's.
    base = {"guard_any_dpo_base": True} if config.get("rl") else {}
    config |= {"plugins": [*config["plugins"], METER], "datasets": datasets, "save_strategy": "no", **base, **changes}
    folder = Path(changes["output_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
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
        config["plugins"].remove(LIGER)
        taken = [key for key in config if key.startswith("liger_")]
        for key in taken:
            del config[key]
        said.append(f"{', '.join(taken)}: taken away, since Triton needs a GPU")
    return said
