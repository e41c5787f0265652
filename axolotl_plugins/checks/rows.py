"""The rows of a stage's shards with their ids, as the stage's strategy tokenizes them, and what must hold in each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from axolotl.prompt_strategies import load as load_strategy
from axolotl.utils.data.shared import load_dataset_with_config
from xxhash import xxh3_64_intdigest

from axolotl_plugins.callbacks import LOG
from prompt_strategies import preferences
from prompt_strategies.renderer import Renderer, renderer_for
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.template import TARGETS, template_for
from prompt_strategies.tokens import Dropped, Example, Ids
from rabbit_ko.errors import UserError
from rabbit_ko.methods import RowKind, method_of

SAMPLE = 1_000
# The columns that TRL's DPO and KTO trainers make of answers.
ANSWER_IDS = ("chosen_ids", "rejected_ids", "completion_ids")


@dataclass(frozen=True)
class TokenizedRow:
    """A row of the shards, with its answer, or the two of a pair; no tokens where it is dropped, and why.

    earlier: (start, end) of what is trained within the prompt. length: tokens of the prompt and the longest answer.
    trained: of all answers. total: of the prompt with each. label: of an answer that has one, true for a good one.
    """

    id: str
    source: str
    prompt: list[int]
    answers: tuple[list[int], ...]
    dropped_exchanges: int
    dropped: Dropped | None
    earlier: tuple[tuple[int, int], ...] = ()
    label: bool | None = None

    @property
    def length(self) -> int:
        return len(self.prompt) + max(map(len, self.answers), default=0)

    @property
    def trained(self) -> int:
        return sum(map(len, self.answers)) + sum(end - start for start, end in self.earlier)

    @property
    def total(self) -> int:
        return len(self.prompt) * len(self.answers) + sum(map(len, self.answers))


def tokenized_rows(cfg: Any, tokenizer: Any, split: str, sample: int | None = None) -> Iterator[TokenizedRow]:
    """Yield every row of a split, `train` or `test`, in order; where every turn is a target, also several for each.

    sample: how many rows of each dataset to read instead, evenly.
    """
    for entry in cfg.datasets if split == "train" else cfg.test_datasets or []:
        for batch in _even(load_dataset_with_config(entry, cfg.hf_use_auth_token), sample).iter(1_000):
            yield from tokenize_batch(cfg, tokenizer, entry, batch)


def _even(dataset: Any, sample: int | None) -> Any:
    if sample is None or len(dataset) <= sample:
        return dataset
    return dataset.select([index * len(dataset) // sample for index in range(sample)])


def tokenize_batch(cfg: Any, tokenizer: Any, entry: Any, batch: dict[str, list[Any]]) -> Iterator[TokenizedRow]:
    """Yield the rows of a batch, given by its columns, as the dataset `entry` of the config asks for them."""
    unnamed = [""] * len(next(iter(batch.values())))
    names = list(zip(batch.get("id", unnamed), batch.get("source", unnamed), strict=True))
    labels: Sequence[bool | None] = []
    if (kind := method_of(cfg).rows) == "sft":
        found = [*load_strategy(entry.type, tokenizer, cfg, entry).examples(batch)]
        names = [name for name, some in zip(names, found, strict=True) for _ in some]
        rows = [*chain.from_iterable(found)]
    else:
        samples, labels = (preferences.pairs(batch), []) if kind == "dpo" else preferences.labelled(batch)
        names = [name for name in names for _ in range(len(samples) // len(names))]
        rows = preferences.examples(samples, tokenizer, template_for(entry.type), cfg.sequence_len, method_of(cfg).rl)
    for name, row, label in zip(names, rows, labels or [None] * len(rows), strict=True):
        if isinstance(row, Example):
            answers = tuple(list(answer) for answer in row.answers)
            yield TokenizedRow(*name, list(row.prompt), answers, row.dropped_exchanges, None, row.earlier, label)
        else:
            yield TokenizedRow(*name, [], (), 0, row, label=label)


def check_rows(cfg: Any, tokenizer: Any, split: str, dataset: Any, examples: int, everything: bool) -> dict[str, int]:
    """Check all rows of a split, or a sample, and return the counts for `run.json`; a pair is two sequences.

    examples: how many answers its shards hold, or pairs. Raises UserError where a row is wrong, or too many are
    dropped.
    """
    renderer = renderer_for(cfg.datasets[0].type, tokenizer)
    one_each = renderer.alone or "labels" not in dataset.column_names
    dropped = examples - (len(dataset) if one_each else _targets(dataset))
    if not len(dataset) or dropped > cfg.guard_max_dropped * examples:
        raise UserError(
            f"{split}: {dropped} of {examples} rows are dropped; `make inspect` tells which and why. "
            f"Raise sequence_len ({cfg.sequence_len}) if they are too long, or guard_max_dropped if that is meant"
        )
    checked = tokens = trained = 0
    for ids, labels in _sequences(cfg, dataset, tokenizer, everything):
        checked += 1
        tokens += len(ids)
        trained += len(labels) - labels.count(IGNORE_INDEX)
        if mistake := _broken_rule(tokenizer, renderer, cfg.sequence_len, ids, labels):
            raise UserError(f"{split}: row {_row_id(cfg, tokenizer, split, ids)}: {mistake}")
    if "labels" in dataset.column_names:
        _compare_with_tokenizer(cfg, tokenizer, split, dataset)
    LOG.info(
        f"{split}: {len(dataset):,} of {examples:,} rows, {dropped:,} dropped; {checked:,} sequences checked: "
        f"{trained:,} of their {tokens:,} tokens are trained ({trained / tokens:.1%})"
    )
    counts = {"examples": examples, "prepared": len(dataset), "checked": checked, "tokens": tokens}
    return counts | {"trained": trained, "dropped": dropped}


def _broken_rule(tokenizer: Any, renderer: Renderer, sequence_len: int, ids: Ids, labels: Ids) -> str | None:
    """Return which invariant a row breaks, or None."""
    spans = _spans(labels)
    is_whole = spans and spans[0][0] > 0 and spans[-1][1] == len(ids) and not (renderer.alone and len(spans) > 1)
    if not is_whole or any(labels[start:end] != ids[start:end] for start, end in spans):
        return "the trained tokens are not one span after a masked prompt"
    for start, end in spans:
        if ids[end - 1] != tokenizer.eos_token_id:
            return f"the answer does not end with {tokenizer.eos_token}, so the model would not learn to stop"
        # More tokens than the text can have, so that none is cut in the middle.
        before = tokenizer.decode(ids[max(0, start - 16 - max(map(len, renderer.responses))) : start])
        if not before.endswith(renderer.responses):
            return f"the mask does not end after {renderer.responses[0].strip()!r}"
    if renderer.has_bos and ids[0] != tokenizer.bos_token_id:
        return f"there is no {tokenizer.bos_token} in front"
    texts = [(int(renderer.has_bos), len(ids) - 1)] if renderer.alone else [(start, end - 1) for start, end in spans]
    for start, end in texts:
        if inside := renderer.outside.intersection(ids[start:end]):
            return f"the control token {tokenizer.convert_ids_to_tokens(min(inside))} stands within the row"
    if len(ids) > sequence_len:
        return f"{len(ids)} tokens are more than sequence_len {sequence_len}"
    return None


def _spans(labels: Ids) -> list[tuple[int, int]]:
    """Return (start, end) of each run of trained tokens."""
    edge = next((index for index, label in enumerate(labels) if label != IGNORE_INDEX), len(labels))
    if edge < len(labels) and IGNORE_INDEX not in labels[edge:]:
        return [(edge, len(labels))]
    is_trained = [False, *(label != IGNORE_INDEX for label in labels), False]
    edges = [at for at, (before, after) in enumerate(pairwise(is_trained)) if before != after]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _targets(dataset: Any) -> int:
    """Count the runs of trained tokens in all rows, each of which is an answer behind a masked prompt."""
    total = 0
    for batch in dataset.with_format("arrow").select_columns(["labels"]).iter(1_000):
        is_trained = batch["labels"].combine_chunks().flatten().to_numpy() != IGNORE_INDEX
        total += int(is_trained[0]) + int((is_trained[1:] & ~is_trained[:-1]).sum())
    return total


def _sequences(cfg: Any, dataset: Any, tokenizer: Any, everything: bool) -> Iterator[tuple[Ids, Ids]]:
    """Yield (ids, labels) of all rows, or of an even sample; preferences that are texts are read as TRL does."""
    dataset = _even(dataset, None if everything else SAMPLE)
    names = set(dataset.column_names)
    if "labels" in names:
        for row in dataset.select_columns(["input_ids", "labels"]):
            yield row["input_ids"], row["labels"]
        return
    for row in dataset:
        if "chosen_labels" in names:  # of ORPO and CPO
            yield from ((row[f"{side}_input_ids"], row[f"{side}_labels"]) for side in preferences.SIDES)
            continue
        if "prompt_ids" in names:  # of DPO and KTO
            prompt, answers = row["prompt_ids"], [row[name] for name in ANSWER_IDS if name in names]
            sides = [prompt + answer for answer in answers]
        else:
            texts = [row[name] for name in ("chosen", "rejected", "completion") if name in names]
            prompt, *sides = preferences.trl_ids(tokenizer, row["prompt"], texts, method_of(cfg).rl)
        for ids in sides:
            yield ids, [IGNORE_INDEX] * len(prompt) + ids[len(prompt) :]


def _compare_with_tokenizer(cfg: Any, tokenizer: Any, split: str, dataset: Any) -> None:
    """Raise UserError where a row of a sample of the shards, as the tokenizer itself reads it, was not prepared.

    Those that axolotl drops by itself for their length are not looked for.
    """
    shortest = cfg.min_sample_len or 1
    longest = (cfg.eval_sequence_len if split == "test" else None) or cfg.sequence_len
    prepared = set[int]()
    for batch in dataset.with_format("arrow").select_columns(["input_ids"]).iter(1_000):
        column = batch["input_ids"].combine_chunks()
        ids, bounds = column.values.to_numpy().astype(np.int32), column.offsets.to_pylist()
        prepared.update(xxh3_64_intdigest(ids[start:end].tobytes()) for start, end in pairwise(bounds))
    for row in tokenized_rows(cfg, tokenizer, split, SAMPLE):
        ids = np.array(row.prompt + row.answers[0] if row.answers else [], np.int32)
        if shortest <= len(ids) <= longest and xxh3_64_intdigest(ids.tobytes()) not in prepared:
            raise UserError(f"{split}: row {row.id}: prepared as other tokens than the tokenizer itself has for it")


def _row_id(cfg: Any, tokenizer: Any, split: str, ids: Ids) -> str:
    """Return the id of the row that these tokens come from, by tokenizing the shards again."""
    rows = tokenized_rows(cfg, tokenizer, split)
    found = (row.id for row in rows if any(row.prompt + answer == ids for answer in row.answers))
    return next(found, "of unknown id (none in the shards has these tokens)")


def check_collator(cfg: Any, trainer: Any) -> None:
    """Collate two rows as the trainer will. Raises UserError where EOS is no longer trained in both."""
    tokenizer, dataset, is_sft = trainer.processing_class, trainer.train_dataset, method_of(cfg).rows == "sft"
    ends = (dataset[0], dataset[len(dataset) - 1])
    features: list[Any] = [
        {name: value for name, value in row.items() if isinstance(value, list | bool)} for row in ends
    ]
    batch = trainer.data_collator([features] if cfg.sample_packing and is_sft else features)
    found = sum(int((ids == tokenizer.eos_token_id).sum()) for ids in _trained_ids(batch))
    expected = (
        sum(row["labels"].count(tokenizer.eos_token_id) for row in features)
        if is_sft
        else len(list(_sequences(cfg, dataset.select([0, len(dataset) - 1]), tokenizer, everything=True)))
    )
    if found != expected:
        raise UserError(
            f"special_tokens: the collator masks EOS in padded batches (eos_token {tokenizer.eos_token!r}, pad_token "
            f"{tokenizer.pad_token!r}); give pad_token a token of its own"
        )


def _trained_ids(batch: Any) -> Iterator[Any]:
    """Yield the trained tokens of a batch, from what the method's trainer reads as its mask."""
    if "completion_mask" in batch:
        yield batch["input_ids"][batch["completion_mask"] == 1]
        return
    for name in ("labels", "chosen_labels", "rejected_labels"):
        if name in batch:
            yield batch[name][batch[name] != IGNORE_INDEX]


def count_examples(cfg: Any, entries: Sequence[Any]) -> int:
    """Count what a split's shards hold: pairs, labelled answers, or answers that the entries' types make targets."""
    return sum(_count(method_of(cfg).rows, entry, cfg.hf_use_auth_token) for entry in entries)


def _count(kind: RowKind, entry: Any, token: Any) -> int:
    rows = load_dataset_with_config(entry, token)
    if kind == "kto" and "label" not in rows.column_names:
        return len(rows) * len(preferences.SIDES)
    suffix = next(suffix for suffix in sorted(TARGETS, reverse=True) if entry.type.endswith(suffix))
    has_calls = "tool_calls" in str(rows.features.get("messages"))
    if kind != "sft" or not (suffix or has_calls):
        return len(rows)
    return sum(1 for row in rows for _ in TARGETS[suffix](row["messages"]))
