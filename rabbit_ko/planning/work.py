"""The work of a stage: rows, tokens, optimizer steps, and operations as model FLOPs utilisation (MFU) counts them.

A product of a matrix with a vector takes two operations a weight. Forward and backward pass of a weight that is
trained take 6 (Kaplan et al. 2020, "Scaling Laws for Neural Language Models", 2.1); of a frozen weight 4, since its
own gradient is not made. Attention adds the products of queries with keys, and of their weights with values, in each
layer (Chowdhery et al. 2022, "PaLM", appendix B), over half of the positions, since it looks back only. What gradient
checkpointing computes a second time is no part of MFU, and neither are norms. An evaluation is a forward pass: 2 a
weight, adapters too, and attention.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from axolotl_plugins.checks.model_files import accept_any_width, check_configs, loading
from dataset_builders.manifest import MANIFEST, read_manifest
from dataset_builders.recipe import load_config, mix_size
from dataset_builders.sources import SOURCES, find_upstream
from rabbit_ko.documents import read_yaml
from rabbit_ko.errors import UserError
from rabbit_ko.methods import RowKind
from rabbit_ko.planning.stage import Stage
from rabbit_ko.recipes import PAIRS, Recipe, read_config

# What the rows of an SFT evaluation are padded to a multiple of; the guard sees to it where training is packed.
PAD_TO = 64

# What a row is taken for where it cannot be measured: prompt and answer, in tokens.
ROW_TOKENS = 400

# What hours are given for where no speed has been measured. First principles give LoRA on one H100 0.41 to 0.45 in
# aog-8b-fast; a padded run has less.
MFU = 0.40


class Gpu(BaseModel, frozen=True):
    """A GPU: GiB of memory, and teraflops of dense bf16 products with float32 sums, from NVIDIA's data sheets."""

    name: str
    memory: int
    teraflops: float


GPUS = TypeAdapter(dict[str, Gpu]).validate_json(Path(__file__).with_name("gpus.json").read_bytes())


@dataclass(frozen=True)
class Rows:
    """A stage's rows.

    count: those that are trained. tokens: the mean length of a sequence; a preference pair has two. context: the
    length of the row that an average token stands in. filled: the share of positions that hold a token in the batches
    that are trained, None where only padding would tell and no row can be measured. test_count: rows of an
    evaluation. test_filled: the same share in its batches; where no row can be measured, all have the mean length.
    """

    count: int
    count_from: str
    tokens: float
    tokens_from: str
    context: float
    filled: float | None
    test_count: int = 0
    test_filled: float = 1.0


@dataclass(frozen=True)
class Work:
    """The work of all epochs: tokens of the rows, and positions that the GPU works on, as far as padding is known.

    flops: operations of training. evaluations: how often the test rows are read; evaluation_flops: operations of all
    of these together.
    """

    rows_per_step: float
    steps: int
    tokens: float
    positions: float
    flops: float
    evaluations: int
    evaluation_flops: float

    @property
    def evaluation_share(self) -> float:
        """The part of all operations that evaluations are."""
        return self.evaluation_flops / (self.flops + self.evaluation_flops or 1)


def work_of(stage: Stage, rows: Rows) -> Work:
    """Return what all epochs take; the batch of `stage` is that of all GPUs together."""
    batch, filled = stage.batch.size, rows.filled or 1.0
    tokens = rows.count * stage.sequences_per_row * rows.tokens * stage.epochs
    positions = tokens / filled
    if stage.packed:
        rows_per_step = batch * stage.sequence_len * filled / rows.tokens
        steps = max(floor(ceil(positions / stage.epochs / stage.sequence_len) * stage.epochs / batch), 1)
    else:
        rows_per_step, steps = float(batch), ceil(rows.count * stage.epochs / batch)
    flops = positions * token_flops(stage, rows.context)
    evaluations = stage.evaluations(steps)
    return Work(
        rows_per_step, steps, tokens, positions, flops, evaluations, evaluation_flops(stage, rows, evaluations)
    )


def evaluation_flops(stage: Stage, rows: Rows, evaluations: int) -> float:
    """Return the operations of so many evaluations; a reference reads their rows, too, or once before all."""
    positions = rows.test_count * stage.sequences_per_row * rows.tokens / rows.test_filled
    adapter = 0 if stage.rank is None else stage.shape.lora_parameters(stage.rank)
    total = evaluations * positions * forward_flops(stage, rows.context, adapter)
    if evaluations:
        passes = stage.untrained_passes * (1 if stage.reference_first else evaluations)
        total += passes * positions * forward_flops(stage, rows.context)
    return total


def hours(flops: float, gpu: Gpu, gpus: int, mfu: float = MFU) -> float:
    """Return how long so many operations take at this share of the speed that the GPU's maker states."""
    return flops / (gpu.teraflops * 1e12 * mfu * gpus) / 3600


def token_flops(stage: Stage, context: float) -> float:
    """Return the operations for one token in a row of `context` tokens, with those of passes that are not trained."""
    weights, forward_attention = stage.shape.matmul_parameters, attention_flops(stage, context)
    trained = 6 * weights if stage.rank is None else 4 * weights + 6 * stage.shape.lora_parameters(stage.rank)
    return trained + 3 * forward_attention + stage.untrained_passes * forward_flops(stage, context)


def forward_flops(stage: Stage, context: float, adapter: int = 0) -> float:
    """Return the operations of a forward pass for one token in a row, with an adapter of so many weights."""
    return 2 * (stage.shape.matmul_parameters + adapter) + attention_flops(stage, context)


def attention_flops(stage: Stage, context: float) -> float:
    """Return the operations of attention for one token in a row of `context` tokens, in a forward pass."""
    return stage.shape.layers * 2 * stage.shape.query_width * context


def count_rows(stage: Stage) -> tuple[int, str]:
    """Return the rows of an epoch and how they are known. Raises UserError where a source's size is not known."""
    folder, path, kind = stage.data, stage.path.with_name("data.yaml"), stage.read
    if (folder / MANIFEST).exists():
        return _built_rows(stage, folder, kind, "train"), f"{folder}/{MANIFEST}"
    if folder.is_relative_to(PAIRS):
        folder, kind = Recipe(stage.recipe).data, "sft"
        if (folder / MANIFEST).exists():
            count = _at_most(stage, _built_rows(stage, folder, kind, "train"))
            return count, f"one pair for each conversation of {folder}, at most"
    config = load_config(path)
    amounts, shares = dict[int, float](), dict[int, float]()
    for number, source in enumerate(config.sources):
        if SOURCES[source.source].rows == kind:
            upstream = find_upstream(source.path)
            is_all = upstream and source.split == "train" and not source.subset
            rows = (upstream.upstream_rows if upstream and is_all else None) or source.max_samples
            if rows is None:
                raise UserError(f"{source.path}: its size is not known here; build the data, or say --rows")
            amounts[number] = min(rows * source.fraction, source.max_samples or rows) * source.weight
            if source.share is not None:
                shares[number] = source.share
    count = round(mix_size(amounts, shares) * (1 - config.test_size)) * _examples(stage)
    count = _at_most(stage, count) if stage.data.is_relative_to(PAIRS) else count
    return count, f"{path} and the sizes of its sources, before gates and duplicates"


def count_test_rows(stage: Stage, count: int) -> int:
    """Return the rows of an evaluation beside so many that are trained: those of the build, or by `test_size`."""
    if not stage.evaluated:
        return 0
    if (stage.data / MANIFEST).exists():
        built = {split: _built_rows(stage, stage.data, stage.read, split) for split in ("train", "test")}
        return round(count * built["test"] / max(built["train"], 1))
    path = stage.path.with_name("data.yaml")
    test_size = load_config(path).test_size if path.exists() else 0.0
    return round(count * test_size / (1 - test_size))


def _built_rows(stage: Stage, folder: Path, kind: RowKind, split: str) -> int:
    shards = read_manifest(str(folder)).in_folder(kind)
    return sum(shard.rows for shard in shards if f"/{split}-" in shard.file) * _examples(stage)


def _at_most(stage: Stage, count: int) -> int:
    """Return so many rows of pairs, or those of all the prompts that pairs.yaml takes at most."""
    file = Recipe(stage.recipe).config("pairs")
    config = read_yaml(file) if file.exists() else None
    prompts = config.get("prompts") if isinstance(config, dict) else None
    most = prompts.get("max_prompts") if isinstance(prompts, dict) else None
    return min(count, most * _examples(stage)) if isinstance(most, int) else count


def _examples(stage: Stage) -> int:
    """Return how many rows a row of the shards is to the trainer: in KTO a pair is two answers."""
    return 2 if (stage.kind, stage.read) == ("kto", "dpo") else 1


def sample_rows(folder: Path, count: int) -> Any:
    """Return a table of some train rows, spread evenly over the shards of a folder; all where there are no more."""
    import pyarrow.dataset as ds

    shards = ds.dataset(sorted(map(str, folder.glob("train-*.parquet"))))
    rows = shards.count_rows()
    size = min(rows, count)
    return shards.take([index * rows // size for index in range(size)])


def row_lengths(stage: Stage, tokenizer: Any = None) -> list[int]:
    """Return the lengths of some sequences, by the base's tokenizer; empty where it or the data is not there."""
    from transformers import AutoTokenizer

    from prompt_strategies.native_template import resolve_chat_template
    from prompt_strategies.renderer import renderer_for
    from prompt_strategies.template import Native, template_for
    from prompt_strategies.tokens import Example, Sample

    if not (stage.data / MANIFEST).exists():
        return []
    if tokenizer is None:
        base = Path(stage.base_model)
        check_configs(base)
        accept_any_width()
        options = {"local_files_only": True, "trust_remote_code": False}
        with loading(f"{base}: the tokenizer cannot be loaded", base):
            try:
                tokenizer = AutoTokenizer.from_pretrained(stage.base_model, **options)
            except (OSError, ValueError):
                return []
    if isinstance(template_for(stage.prompt), Native):
        config = read_config(stage.path)
        tokenizer.chat_template = resolve_chat_template(config, tokenizer)
        tokenizer.eos_token = (config.get("special_tokens") or {}).get("eos_token") or tokenizer.eos_token
    rows = sample_rows(stage.data / stage.read, 2_000).to_pylist()
    if stage.read == "sft":
        samples = [Sample(row["messages"][:-1], (row["messages"][-1],), row.get("tools")) for row in rows]
    else:
        answers = ("completion",) if stage.read == "kto" else ("chosen", "rejected")
        samples = [Sample(row["prompt"], tuple(row[it][0] for it in answers), row.get("tools")) for row in rows]
    examples = renderer_for(stage.prompt, tokenizer).tokenize(samples, stage.sequence_len)
    kept = [example for example in examples if isinstance(example, Example)]
    return [len(example.prompt) + len(answer) for example in kept for answer in example.answers]


def describe_rows(
    stage: Stage, lengths: Sequence[int], count: tuple[int, str], row_tokens: float | None = None, test_count: int = 0
) -> Rows:
    """Return what is known of the rows: their number, and their lengths as given, as measured, or as assumed."""
    tests = (test_count, evaluated_share(stage, [row_tokens] if row_tokens else lengths or [ROW_TOKENS]))
    if lengths and row_tokens is None:
        context = sum(length * length for length in lengths) / sum(lengths)
        group = stage.batch.micro_batch_size * stage.sequences_per_row
        filled = packed_share(lengths, stage.sequence_len) if stage.packed else padded_share(lengths, group)
        measured = f"{len(lengths):,} sequences of {stage.data}, tokenized"
        return Rows(*count, sum(lengths) / len(lengths), measured, context, filled, *tests)
    mean = row_tokens or float(ROW_TOKENS)
    basis = "as you say" if row_tokens else "assumed: the data is not built, or the tokenizer not at hand"
    # First-fit of short rows fills sequences nearly.
    return Rows(*count, mean, basis, mean, 0.98 if stage.packed else None, *tests)


def evaluated_share(stage: Stage, lengths: Sequence[float]) -> float:
    """Return the share of positions that hold a token in the batches of an evaluation."""
    if stage.packed and stage.eval_packed:
        return packed_share([ceil(length) for length in lengths], stage.sequence_len)
    rows = stage.eval_batch_size or stage.batch.micro_batch_size
    return padded_share(lengths, rows * stage.sequences_per_row, 1 if stage.kind == "dpo" else PAD_TO)


def packed_share(lengths: Sequence[int], capacity: int) -> float:
    """Return the share of positions that first-fit packing fills, in the order of the rows."""
    free: list[int] = []
    for length in lengths:
        place = next((index for index, left in enumerate(free) if left >= length), None)
        if place is None:
            free.append(capacity - length)
        else:
            free[place] -= length
    return sum(lengths) / (capacity * len(free))


def padded_share(lengths: Sequence[float], size: int, multiple: int = 1) -> float:
    """Return the share of positions that hold a token where each batch is padded to a multiple of its longest row.

    multiple: what the padded length is a multiple of.
    """
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return sum(lengths) / sum(ceil(max(batch) / multiple) * multiple * len(batch) for batch in batches)


def gpu_named(device: str) -> Gpu | None:
    """Return the GPU that CUDA calls so, such as `NVIDIA H100 80GB HBM3`; None where its speed is not known here."""
    words = set(re.split(r"[\s-]+", device.lower()))
    models = {re.findall(r"\b[^\W\d]*+\d\w*", gpu.name.lower())[0]: gpu for gpu in GPUS.values()}
    # These make it another GPU, with another speed.
    is_variant = words & {"d", "laptop", "nvl", "pcie", "ti"}
    return None if is_variant else next((gpu for model, gpu in models.items() if model in words), None)
