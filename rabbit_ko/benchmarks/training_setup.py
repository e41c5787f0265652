"""What `make bench WHAT=train` trains with: a random base, rows, and a recipe's stage with the few keys changed.

Nothing is downloaded. The speed of training does not depend on what the weights are, only on their shape and kind.
"""

import json
import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from math import ceil
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
from axolotl_plugins.checks.speed import AUTO, INSTALLED
from rabbit_ko.benchmarks.corpus import SEED, make_vocabulary, write_texts
from rabbit_ko.errors import UserError
from rabbit_ko.methods import RowKind
from rabbit_ko.planning.model_shape import SHAPES
from rabbit_ko.planning.stage import Stage, read_stage
from rabbit_ko.planning.work import ROW_TOKENS
from rabbit_ko.recipes import CONFIGS, read_config

METER = "rabbit_ko.benchmarks.training_meter.Meter"
LIGER = "axolotl.integrations.liger.LigerPlugin"
# What the meter writes into a run's folder.
STEPS = "steps.json"
# With a small shape, sequences and rows are shorter by this.
SHORTER = 4
# Room for the template around a generated row.
TEMPLATE = 64
TAIL = 30
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
# What a CPU cannot do: Triton's kernels, and the number formats that GPUs are fast in.
ON_CPU = {**dict.fromkeys(LORA_KERNELS, False), "bf16": False, "tf32": False}
# Evaluation and checkpoints would stand between the steps that are timed.
DROPPED = ("test_datasets", "evals_per_epoch", "eval_strategy", "saves_per_epoch", "save_steps", "save_total_limit")


@dataclass(frozen=True)
class Bench:
    """One call: where it works, how many steps count, how many are before them, and whether the shape is small.

    attention: what takes the place of the recipes' own.
    """

    folder: Path
    steps: int
    warmup: int
    small: bool
    attention: str | None = None


def prepare_base(stage: Stage, bench: Bench) -> Path:
    """Return the folder of a stage's random base, which is made where it is not there yet."""
    base = bench.folder / f"base-{stage.shape.name}{'-small' if bench.small else ''}"
    if not base.exists():
        # In a process of its own, so that this one holds nothing on the GPU.
        arguments = f"Path({str(stage.path)!r}), Path({str(base)!r}), {bench.small}"
        code = f"from pathlib import Path; from {__name__} import make_base; make_base({arguments})"
        run_logged(base.name, [sys.executable, "-c", code], bench)
    return base


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


def prepare_rows(stage: Stage, tokenizer: Any, bench: Bench, source: Path | None) -> str:
    """Write the rows of a run, some of the source's or generated ones without it, and return what they are."""
    # A packed sequence holds many rows. Pairs are as many as the steps take, since the reference reads all of them.
    mean = ROW_TOKENS / (SHORTER if bench.small else 1)
    in_batch = stage.batch.size * (1.1 * stage.sequence_len / mean if stage.packed else 1)
    count = ceil((bench.steps + bench.warmup) * in_batch)
    if source is None:
        rows = generate_rows(stage.kind, tokenizer, count, mean, stage.sequence_len - TEMPLATE)
        write_rows(stage.data, stage.kind, rows)
        return f"generated, lognormal around {mean:g} tokens and the template"
    write_rows(stage.data, stage.kind, take_rows(source, stage.kind, count))
    known = len(tokenizer) >= stage.shape.vocab_size
    whose = "the base's tokenizer" if known else "the smoke recipe's tokenizer, which makes other lengths of them"
    return f"of {source}, with {whose}"


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


def write_config(stage: Path, run: dict[str, Any], cuda: bool, attention: str | None = None) -> list[str]:
    """Write a stage's `config.yaml` into the `output_dir` of the run, without evaluation and checkpoints.

    run: its paths (`path` is that of the rows), steps and length of sequences. attention: in the place of the
    stage's own. Returns what else differs from the stage, a line each.
    """
    written = read_config(stage)
    config = {key: value for key, value in written.items() if key not in DROPPED}
    if not cuda:
        config = {key: value for key, value in config.items() if not key.startswith("liger_")} | ON_CPU
        config["plugins"] = [plugin for plugin in config["plugins"] if plugin != LIGER]
    config["attn_implementation"] = attention or _possible(config.get("attn_implementation"), cuda)
    changed = [key for key in written if key not in DROPPED and config.get(key) != written[key]]
    config |= {"datasets": [{**config["datasets"][0], "path": run.pop("path")}], "save_strategy": "no", **run}
    config["plugins"] = [*config["plugins"], METER]
    if config.get("rl"):
        # A random base is no merged model of the recipe's.
        config["guard_any_dpo_base"] = True
    folder = Path(run["output_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return [
        f"{key}: {config.get(key, 'taken away')} instead of {written[key]}" for key in changed if key != "plugins"
    ]


def _possible(attention: str | None, cuda: bool) -> str | None:
    """Return an attention, or `auto` where it is not installed or cannot run here."""
    return AUTO if attention in INSTALLED and not (cuda and INSTALLED[attention]()) else attention


def run_logged(name: str, command: list[str], bench: Bench) -> None:
    """Run a command with its output in a log; raises UserError with its last error where it fails."""
    log = bench.folder / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name}: running, its output goes to {log}", file=sys.stderr, flush=True)
    # Beside a second GPU, the trainer would split each batch over both within one process.
    settings = {"AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "0"}
    with log.open("w", encoding="utf-8") as file:
        ended = subprocess.run(command, env={**settings, **os.environ}, stdout=file, stderr=subprocess.STDOUT)
    if ended.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-TAIL:]), file=sys.stderr)
        errors = (line.strip() for line in reversed(lines) if "error: " in line.lower())
        raise UserError(f"{log}: exit {ended.returncode}: {next(errors, 'no error named')[:200]}; read that log")
