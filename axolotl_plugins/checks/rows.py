"""What must hold in every tokenized row, and which row breaks it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from axolotl.utils.data.shared import load_dataset_with_config

from axolotl_plugins.log import LOG
from axolotl_plugins.stage_rows import tokenized_rows
from prompt_strategies import dpo
from prompt_strategies.sft import IGNORE_INDEX
from prompt_strategies.template import Template, template_for
from prompt_strategies.tokens import Ids, special_ids
from rabbit_ko.errors import UserError
from rabbit_ko.methods import method_of

SAMPLE = 1_000
# The response's heading is some five tokens; more are decoded, so that none is cut in the middle.
TAIL = 16


@dataclass
class SplitCounts:
    """How many rows a split has; and of the sequences that were checked, two a row in DPO, how much is trained."""

    examples: int
    prepared: int
    checked: int = 0
    tokens: int = 0
    trained: int = 0

    @property
    def dropped(self) -> int:
        return self.examples - self.prepared

    def as_dict(self) -> dict[str, int]:
        """The counts, for `run.json`."""
        return {**asdict(self), "dropped": self.dropped}

    def __str__(self) -> str:
        share = f", {self.trained / self.tokens:.1%} of their tokens are trained" if self.tokens else ""
        rows = f"{self.prepared} of {self.examples} rows, {self.dropped} dropped"
        return f"{rows}, {self.checked} sequences checked{share}"


def check_rows(cfg: Any, tokenizer: Any, split: str, dataset: Any, counts: SplitCounts, everything: bool) -> None:
    """Check all rows of a split, or a sample, and count. Raises UserError where one is wrong, or too many dropped."""
    if not counts.prepared or counts.dropped > cfg.guard_max_dropped * counts.examples:
        raise UserError(
            f"{split}: {counts.dropped} of {counts.examples} rows are dropped; `make inspect` tells which and why. "
            f"Raise sequence_len ({cfg.sequence_len}) if they are too long, or guard_max_dropped if that is meant"
        )
    template, special = template_for(cfg.datasets[0].type), special_ids(tokenizer)
    counts.checked = counts.tokens = counts.trained = 0
    for ids, labels in _pairs(dataset, tokenizer, everything):
        counts.checked += 1
        counts.tokens += len(ids)
        counts.trained += len(labels) - labels.count(IGNORE_INDEX)
        if mistake := broken_rule(tokenizer, template, special, cfg.sequence_len, ids, labels):
            raise UserError(f"{split}: row {_row_id(cfg, tokenizer, split, ids)}: {mistake}")
    LOG.info("%s: %s", split, counts)


def broken_rule(
    tokenizer: Any, template: Template, special: frozenset[int], sequence_len: int, ids: Ids, labels: Ids
) -> str | None:
    """Return which invariant a row breaks, or None."""
    edge = next((index for index, label in enumerate(labels) if label != IGNORE_INDEX), len(labels))
    if not 0 < edge < len(ids) or labels[edge:] != ids[edge:]:
        return "the trained tokens are not one span behind a masked prompt"
    if ids[-1] != tokenizer.eos_token_id:
        return f"the answer does not end with {tokenizer.eos_token}, so the model would not learn to stop"
    has_bos = tokenizer.bos_token_id is not None
    if has_bos and ids[0] != tokenizer.bos_token_id:
        return f"there is no {tokenizer.bos_token} in front"
    if inside := special.intersection(ids[has_bos:-1]):
        return f"the control token {tokenizer.convert_ids_to_tokens(min(inside))} stands within the row"
    if len(ids) > sequence_len:
        return f"{len(ids)} tokens are more than sequence_len {sequence_len}"
    if not tokenizer.decode(ids[max(0, edge - TAIL) : edge]).endswith(template.response):
        return f"the mask does not end behind {template.response.strip()!r}"
    return None


def _pairs(dataset: Any, tokenizer: Any, everything: bool) -> Iterator[tuple[Ids, Ids]]:
    """Yield (ids, labels) of all rows, or of a sample that is spread evenly over them.

    Preferences that are still texts are tokenized as TRL will do it.
    """
    if not everything and len(dataset) > SAMPLE:
        dataset = dataset.select([index * len(dataset) // SAMPLE for index in range(SAMPLE)])
    if "labels" in dataset.column_names:
        for row in dataset.select_columns(["input_ids", "labels"]):
            yield row["input_ids"], row["labels"]
    elif "prompt_ids" in dataset.column_names:
        for row in dataset.select_columns(["prompt_ids", "chosen_ids", "rejected_ids"]):
            for answer in (row["chosen_ids"], row["rejected_ids"]):
                yield row["prompt_ids"] + answer, [IGNORE_INDEX] * len(row["prompt_ids"]) + answer
    else:
        for row in dataset:
            prompt, *pairs = dpo.trl_ids(tokenizer, row["prompt"], (row["chosen"], row["rejected"]))
            for ids in pairs:
                yield ids, [IGNORE_INDEX] * len(prompt) + ids[len(prompt) :]


def _row_id(cfg: Any, tokenizer: Any, split: str, ids: Ids) -> str:
    """Return the id of the row that these tokens come from, by tokenizing the shards again."""
    rows = tokenized_rows(cfg, tokenizer, split)
    found = (row.id for row in rows if any(row.prompt + answer == ids for answer in row.answers))
    return next(found, "of unknown id (none in the shards has these tokens)")


def check_collator(cfg: Any, trainer: Any) -> None:
    """Collate two rows as the trainer will. Raises UserError where EOS is no longer trained in both."""
    tokenizer, dataset = trainer.processing_class, trainer.train_dataset
    is_dpo = method_of(cfg).rows == "dpo"
    rows = [dataset[0], dataset[len(dataset) - 1]]
    columns = ("input_ids", "labels", "attention_mask", "position_ids", "prompt_ids", "chosen_ids", "rejected_ids")
    features: list[Any] = [{name: row[name] for name in columns if name in row} for row in rows]
    batch = trainer.data_collator([features] if cfg.sample_packing and not is_dpo else features)
    ends = batch["input_ids"] == tokenizer.eos_token_id
    trained = batch["completion_mask"] == 1 if is_dpo else batch["labels"] == tokenizer.eos_token_id
    if int((ends & trained).sum()) != (4 if is_dpo else 2):
        raise UserError(
            f"special_tokens: the collator masks EOS in padded batches (eos_token {tokenizer.eos_token!r}, pad_token "
            f"{tokenizer.pad_token!r}); give pad_token a token of its own"
        )


def count_examples(cfg: Any, entries: Sequence[Any]) -> int:
    """Count the rows that a split's shards hold; with every turn as a target, its answers."""
    total = 0
    for entry in entries:
        dataset = load_dataset_with_config(entry, cfg.hf_use_auth_token)
        if entry.type.endswith("_every_turn"):
            total += sum(turn["role"] == "assistant" for row in dataset for turn in row["messages"])
        else:
            total += len(dataset)
    return total
