"""Training speed of a recipe beside its fast variant: axolotl's own trainer, the model's true shape, random weights.

Each configuration is a process of its own on one GPU, with the recipe's YAML but for what has to be changed. Nothing
is downloaded but the attention that a run of the recipe takes from the hub, too. Without a GPU the shape is small,
and no hours are projected.
"""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from axolotl_plugins import LORA_KERNELS
from axolotl_plugins.checks.speed import AUTO, INSTALLED
from dataset_builders.manifest import MANIFEST
from rabbit_ko import storage
from rabbit_ko.benchmarks.build_speed import CONTENDERS
from rabbit_ko.benchmarks.corpus import koalpaca, write
from rabbit_ko.benchmarks.report import DASH, describe_machine, markdown_table
from rabbit_ko.errors import UserError
from rabbit_ko.planning import work
from rabbit_ko.planning.memory import GIB
from rabbit_ko.planning.plan import FAST, Measurement, measured_file
from rabbit_ko.planning.stage import KNOWN, SHAPES, Stage, load_shape, read_stage
from rabbit_ko.recipes import CONFIGS, RUNS, read_config
from rabbit_ko.terminal import say

FOLDER = RUNS / "bench" / "train"
LIGER = "axolotl.integrations.liger.LigerPlugin"
# The table's columns; what MFU counts is in docs/benchmarks.md.
FIGURES = {
    "tokens/s against the first": "{:.2f}",
    "tokens/s": "{:,.0f}",
    "trained tokens/s": "{:,.0f}",
    "with padding": "{:,.0f}",
    "rows/s": "{:,.1f}",
    "padding": "{:.1%}",
    "MFU": "{:.1%}",
    "peak memory": "{:,.1f} GiB",
    "hours for 3 epochs": "{:,.1f}",
}


def bench_training(recipe: str, stages: Sequence[str], steps: int, warmup: int, attention: str) -> None:
    """Train a recipe and its fast variant for some steps on the same rows; print tables, and write them as JSON.

    A stage that fails is a line of dashes. Raises UserError in the end then, or where there are no such two recipes.
    """
    plain, results, failed = recipe.removesuffix(FAST), [], []
    pairs = [[CONFIGS / name / f"{stage}.yaml" for name in (plain, plain + FAST)] for stage in stages]
    pairs = [pair for pair in pairs if all(path.is_file() for path in pair)]
    if not pairs:
        raise UserError(f"{CONFIGS}: no {' or '.join(stages)} both in {plain} and in {plain}{FAST}; name another")
    machine = describe_machine("axolotl", "torch", "transformers", "trl", "peft", "liger-kernel")
    say(f"{machine}\n{steps} steps after {warmup} to warm up")
    for pair in pairs:
        built = next((data for path in pair if ((data := read_stage(path).data) / MANIFEST).exists()), None)
        lines: dict[str, dict[str, Any]] = {}
        for path in pair:
            name = f"`{path.parent.name}` {path.stem}"
            try:
                results.append(measure_stage(path, built, steps, warmup, attention))
                lines[name] = results[-1]["figures"]
                content = {"machine": machine, "results": results}
                storage.write(str(measured_file(plain)), json.dumps(content, indent=1).encode())
                say(f"{name}: {results[-1]['note']}")
            except UserError as error:
                lines[name] = {}
                failed.append(f"{name}: {error}")
        say(f"\n{stage_table(lines)}\n")
    if failed:
        raise UserError(f"{len(failed)} of {len(failed) + len(results)} failed: {'; '.join(failed)}")


def measure_stage(path: Path, built: Path | None, steps: int, warmup: int, attention: str) -> dict[str, Any]:
    """Train on built rows, or on generated ones; return what `make plan` reads. Raises UserError where that fails."""
    written, name = read_stage(path), f"{path.parent.name}-{path.stem}"
    base, data = prepare_base(written), built or generate_data()
    counted = work.count_rows(written.model_copy(update={"data": data}) if built else written)
    stage = written.model_copy(update={"data": data, "shape": load_shape(str(base))})
    rows = work.describe_rows(stage, work.row_lengths(stage, AutoTokenizer.from_pretrained(base)), counted)
    # As many as the steps take, since a reference pass reads all of them.
    count = ceil(work.work_of(stage, rows).rows_per_step * (steps + warmup))
    with TemporaryDirectory(dir=FOLDER) as folder:
        (shards := Path(folder, "rows")).mkdir()
        pq.write_table(work.sample_rows(data / stage.read, count), shards / "train-00000-of-00001.parquet")
        config, changed = changed_config(path, base, folder, steps + warmup, attention)
        Path(folder, "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        run_logged(name, ["-m", "axolotl.cli.train", f"{folder}/config.yaml"])
        metered = json.loads(Path(folder, "metered.json").read_bytes())
    shape = written.shape.name if torch.cuda.is_available() else "small"
    return {"shape": shape, "note": f"rows of {data}; changed: {changed}"} | figures(stage, rows, metered, warmup)


def figures(stage: Stage, rows: work.Rows, metered: dict[str, Any], warmup: int) -> dict[str, Any]:
    """Return the speed after the first `warmup` steps, and as many batches of the reference pass.

    That pass is shared out to the epochs; the time of its last batch is not known. MFU needs a known GPU.
    """
    seconds, positions, tokens, trained, count = map(sum, zip(*metered["steps"][warmup:], strict=True))
    starts, sizes = zip(*metered["reference"][warmup:] or [(0, 0)], strict=True)
    reference = (starts[-1] - starts[0]) / max(sum(sizes[:-1]), 1)
    whole, peak, device = seconds + count * reference / stage.epochs, metered["peak_bytes"] / GIB, metered["device"]
    speed = {"seconds_per_row": seconds / count, "reference_seconds_per_row": reference}
    about = {"recipe": stage.recipe, "stage": stage.method.name, "device": device, "gpus": 1, "peak_memory_gib": peak}
    result = about | {"speed": speed, "rows": {"tokens": rows.tokens}}
    gpu, operations = work.gpu_named(device), positions / whole * work.token_flops(stage, rows.context)
    cells = (
        *(number / whole for number in (tokens, trained, positions, count)),
        1 - tokens / positions,
        operations / (gpu.teraflops * 1e12) if gpu else None,
        peak,
        Measurement.model_validate(result).hours(rows.count, 3, 1) if device != "CPU" else None,
    )
    return result | {"figures": dict(zip([*FIGURES][1:], cells, strict=True))}


def prepare_base(stage: Stage) -> Path:
    """Return the folder of a stage's random base, with its own tokenizer where that is on this machine."""
    cuda = torch.cuda.is_available()
    folder = FOLDER / f"base-{stage.shape.name}{'' if cuda else '-small'}"
    if folder.exists():
        return folder
    try:
        tokenizer = AutoTokenizer.from_pretrained(stage.base_model if cuda else "", local_files_only=True)
    except (OSError, ValueError):
        tokenizer = runpy.run_path(str(CONFIGS / "smoke/make_base_model.py"))["make_tokenizer"]()
    # So that axolotl has none to add.
    tokenizer.add_special_tokens(read_config(stage.path).get("special_tokens") or {})
    shape = json.loads((SHAPES / f"{KNOWN[stage.base_model]}.json").read_text(encoding="utf-8"))
    shape |= {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    # The same architecture, small enough for some steps on a CPU.
    small = {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4}
    small |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": len(tokenizer)}
    config = LlamaConfig(**shape | ({} if cuda else small))
    torch.manual_seed(0)
    # On the GPU where there is one, since 8 billion take minutes on a CPU.
    with torch.device("cuda" if cuda else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16 if cuda else torch.float32)
    new = folder.with_name(f".{folder.name}")
    tokenizer.save_pretrained(new)
    model.save_pretrained(new)
    del model
    torch.cuda.empty_cache()
    return new.rename(folder)


def generate_data() -> Path:
    """Return a folder of built shards of generated rows, of both kinds; it is made where it is not there yet."""
    folder, rows = FOLDER / "data", list(koalpaca(4_000))
    if not (folder / "out" / MANIFEST).exists():
        pairs = [
            {"prompt": row["instruction"], "chosen": row["output"], "rejected": other["output"]}
            for row, other in pairwise(rows)
        ]
        files = write(rows, folder / "koalpaca.jsonl"), write(pairs, folder / "preference.jsonl")
        sources = [{"source": file.stem, "path": str(file)} for file in files]
        config = yaml.safe_dump({"sources": sources, "quality": {"action": "off"}})
        (folder / "plain.yaml").write_text(config, encoding="utf-8")
        run_logged("data", CONTENDERS["plain"][0].format(folder=folder).split())
    return folder / "out"


def changed_config(path: Path, base: Path, folder: str, steps: int, attention: str) -> tuple[dict[str, Any], str]:
    """Return a stage's config for some steps on the rows in a folder, and in a line what else of it is changed."""
    written, cuda = read_config(path), torch.cuda.is_available()
    asked = written.get("attn_implementation")
    can_run = asked not in INSTALLED or (cuda and INSTALLED[asked]())
    here = {"attn_implementation": attention or (asked if can_run else AUTO)}
    if not cuda:
        # A CPU has neither Triton's kernels nor the number formats that GPUs are fast in.
        here |= dict.fromkeys(key for key in written if key.startswith("liger_"))
        here |= dict.fromkeys((*LORA_KERNELS, "bf16", "tf32"), False)
    changed = [f"{key}: {new} instead of {written[key]}" for key, new in here.items() if written.get(key, new) != new]
    changes = {
        # Evaluation and checkpoints would stand between the steps that are timed.
        **dict.fromkeys(("test_datasets", "evals_per_epoch", "saves_per_epoch", "save_steps", "eval_strategy")),
        "save_strategy": "no",
        "max_steps": steps,
        "plugins": [
            *(name for name in written["plugins"] if cuda or name != LIGER),
            "rabbit_ko.benchmarks.training_meter.Meter",
        ],
        "base_model": str(base),
        "output_dir": folder,
        "dataset_prepared_path": f"{folder}/prepared",
        "datasets": [{**written["datasets"][0], "path": f"{folder}/rows"}],
        # A random base is no merged model of the recipe's.
        "guard_any_parent": True,
    }
    config = {key: value for key, value in (written | here | changes).items() if value is not None}
    return config, "; ".join(changed) or "nothing but paths, steps, evaluation and checkpoints"


def run_logged(name: str, arguments: Sequence[str]) -> None:
    """Run python with its output in a log; raises UserError with its last error where it fails."""
    log = FOLDER / f"{name}.log"
    say(f"{name}: running, its output goes to {log}", is_error=True)
    # Beside a second GPU, the trainer would split each batch over both within one process. The hub stays as it is
    # set: offline, `kernels` finds no version of an attention, and another one would be timed than a run takes.
    settings = {"AXOLOTL_DO_NOT_TRACK": "1", "CUDA_VISIBLE_DEVICES": "0", **os.environ}
    with log.open("w", encoding="utf-8") as file:
        ended = subprocess.run([sys.executable, *arguments], env=settings, stdout=file, stderr=subprocess.STDOUT)
    if ended.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = (line.strip() for line in reversed(lines) if "error: " in line.lower())
        raise UserError(f"{log}: exit {ended.returncode}: {next(errors, 'no error named')[:200]}; read that log")


def stage_table(lines: dict[str, dict[str, Any]]) -> str:
    """Compare the configurations of a stage, the first of which is the plain one; one without figures has failed."""
    first, against = next(iter(lines.values())), next(iter(FIGURES))
    table = []
    for name, line in lines.items():
        ratio = {against: line["tokens/s"] / first["tokens/s"]} if first and line else {}
        cells = [(form, (line | ratio).get(heading)) for heading, form in FIGURES.items()]
        table.append([name, *(DASH if cell is None else form.format(cell) for form, cell in cells)])
    return markdown_table(("", *FIGURES), table)
