"""The prompts that a stage is asked: drawn from rows that a build has cleaned, decontaminated and deduplicated."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from dataset_builders.build import build, current
from dataset_builders.manifest import PromptSource, read_manifest
from dataset_builders.prompt_sources import prompt_sources
from dataset_builders.recipe import DataConfig, both
from dataset_builders.rows import Conversation, Row, asked, without_weights
from dataset_builders.sampling import draw
from dataset_builders.schemas import from_shard
from dataset_builders.split import TEST, TRAIN
from dataset_builders.verify import verify
from prompt_strategies.messages import is_plain
from rabbit_ko.errors import UserError
from rabbit_ko.methods import ROW_KINDS, RowKind
from rabbit_ko.pairs.config import PromptsConfig
from rabbit_ko.pairs.records import Prompt
from rabbit_ko.recipes import Recipe

NOT_PLAIN, TESTED, SAME, OVER_MAX = "reasoning or tools", "tested prompt", "same prompt", "over max_prompts"


@dataclass(frozen=True)
class Prompts:
    """The prompts, in the order in which they are drawn; how many rows gave none, by reason; what they are from."""

    taken: list[Prompt]
    dropped: Counter[str]
    sources: Sequence[PromptSource] = ()


def find_prompts(recipe: Recipe, config: PromptsConfig, data: DataConfig) -> Prompts:
    """Return the prompts of a recipe's train rows, or of the sources that are given; none that its rows test.

    Raises UserError.
    """
    folder = recipe.data
    tested = {asked(without_weights(row.prompt), data.system_prompt) for row in _rows(folder, _tested(data), TEST)}
    if config.sources:
        folder = recipe.pairs("prompts")
        _build(config, data, folder)
    rows = _rows(folder, ROW_KINDS if config.sources else ("sft",), TRAIN)
    found = draw_prompts(rows, config.max_prompts, data, tested)
    if not found.taken:
        raise UserError(f"{folder}: no prompt in it; name sources of them in {recipe.config('pairs')}, `prompts:`")
    names = {prompt.source for prompt in found.taken}
    return replace(found, sources=prompt_sources(read_manifest(str(folder)).sources, names))


def draw_prompts(
    rows: Iterable[Row], most: int | None, data: DataConfig, tested: Container[str] = frozenset()
) -> Prompts:
    """Draw prompts by the recipe's seed and their ids, which no order can change; each is taken once.

    tested: what is asked in test rows.
    """
    dropped, firsts = Counter[str](), dict[str, Prompt]()
    rows = list(rows)
    order = dict(
        zip((row.id for row in rows), draw(data.seed, [row.id for row in rows])["sample"].tolist(), strict=True)
    )
    for row in sorted(rows, key=lambda row: (order[row.id], row.id)):
        prompt = without_weights(row.prompt)
        if row.tools or not is_plain(prompt):
            dropped[NOT_PLAIN] += 1
        elif (said := asked(prompt, data.system_prompt)) in tested:
            dropped[TESTED] += 1
        elif said in firsts:
            dropped[SAME] += 1
        else:
            reference = row.messages[-1]["content"] if isinstance(row, Conversation) else ""
            firsts[said] = Prompt(row.id, row.source, prompt, reference)
    taken = list(firsts.values())
    if most is not None and len(taken) > most:
        dropped[OVER_MAX] = len(taken) - most
    return Prompts(taken[:most], dropped)


def _tested(data: DataConfig) -> Iterable[RowKind]:
    """Return the kinds of the recipe's rows whose tests no prompt may be in.

    Where the pairs themselves are among its sources, their build keeps all answers to a prompt in one split, and what
    is tested beside the conversations depends on the pairs: it would make each of them out of date.
    """
    return ("sft",) if "own_pairs" in {entry.source for entry in both(data.sources)} else ROW_KINDS


def _build(config: PromptsConfig, data: DataConfig, folder: Path) -> None:
    wanted = data.model_copy(update={"sources": config.sources, "test_size": 0.0, "mix_by": "rows", "tokenizer": ""})
    if current(wanted, folder) is None:
        build(wanted, folder, workers=None)


def _rows(folder: Path, kinds: Iterable[RowKind], split: str) -> Iterator[Row]:
    manifest = verify(str(folder))
    for kind in kinds:
        for shard in manifest.in_folder(kind):
            if shard.file.startswith(f"{kind}/{split}-"):
                yield from map(from_shard, pq.read_table(folder / shard.file).to_pylist())
