"""The rows of a stage's shards with their ids, as the stage's own strategy and tokenizer tokenize them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from axolotl.prompt_strategies import load as load_strategy
from axolotl.utils.data.shared import load_dataset_with_config

from prompt_strategies import dpo
from prompt_strategies.template import template_for
from prompt_strategies.tokens import Dropped, Example, Ids
from rabbit_ko.methods import method_of

BATCH = 1_000


@dataclass(frozen=True)
class TokenizedRow:
    """A row of the shards; `answers` has one entry in SFT, and chosen and rejected in DPO.

    A row that the strategy drops has `dropped`, the reason, and no tokens.
    """

    id: str
    source: str
    prompt: Ids
    answers: tuple[Ids, ...]
    dropped_exchanges: int
    dropped: Dropped | None

    @property
    def length(self) -> int:
        """Tokens of the prompt and the longest answer."""
        return len(self.prompt) + max(map(len, self.answers), default=0)

    @property
    def trained(self) -> int:
        """Tokens of all answers."""
        return sum(map(len, self.answers))

    @property
    def total(self) -> int:
        """Tokens of the prompt with each answer."""
        return len(self.prompt) * len(self.answers) + self.trained


def tokenized_rows(cfg: Any, tokenizer: Any, split: str) -> Iterator[TokenizedRow]:
    """Yield every row of a split, `train` or `test`, in the shards' order.

    With every turn as a target, a conversation gives one row for each answer.
    """
    for entry in cfg.datasets if split == "train" else cfg.test_datasets or []:
        dataset = load_dataset_with_config(entry, cfg.hf_use_auth_token)
        for batch in dataset.iter(BATCH):
            yield from tokenize_batch(cfg, tokenizer, entry, batch)


def tokenize_batch(cfg: Any, tokenizer: Any, entry: Any, batch: dict[str, list[Any]]) -> Iterator[TokenizedRow]:
    """Yield the rows of a batch, given by its columns, as the dataset `entry` of the config asks for them."""
    unnamed = [""] * len(next(iter(batch.values())))
    names = list(zip(batch.get("id", unnamed), batch.get("source", unnamed), strict=True))
    for (row_id, source), row in zip(*_tokenize(cfg, tokenizer, entry, batch, names), strict=True):
        if isinstance(row, Example):
            yield TokenizedRow(row_id, source, row.prompt, row.answers, row.dropped_exchanges, None)
        else:
            yield TokenizedRow(row_id, source, [], (), 0, row)


def _tokenize(
    cfg: Any, tokenizer: Any, entry: Any, batch: Any, names: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], list[Example | Dropped]]:
    if method_of(cfg).rows == "dpo":
        return names, dpo.examples(batch, tokenizer, template_for(entry.type), cfg.sequence_len)
    strategy = load_strategy(entry.type, tokenizer, cfg, entry)
    targets = [name for name, row in zip(names, batch["messages"], strict=True) for _ in strategy.targets(row)]
    return targets, strategy.examples(batch["messages"])
