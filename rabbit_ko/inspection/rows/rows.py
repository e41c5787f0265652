"""A stage's rows, tokenized by the stage's own strategy and tokenizer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from axolotl.prompt_strategies import load as load_strategy
from axolotl.utils.data.shared import load_dataset_with_config

from prompt_strategies import dpo
from prompt_strategies.template import template_for
from prompt_strategies.tokens import Dropped, Example, Ids, special_ids

BATCH = 1_000


@dataclass(frozen=True)
class Piece:
    """The shortest run of tokens that makes whole characters; nearly always one token."""

    text: str
    ids: tuple[int, ...]
    trained: bool
    special: bool


@dataclass(frozen=True)
class InspectedRow:
    """A row of the shards; `answers` has one entry in SFT, and chosen and rejected in DPO."""

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


def inspect_rows(cfg: Any, tokenizer: Any, split: str) -> Iterator[InspectedRow]:
    """Yield every row of a split, in the shards' order; with every turn as a target, one for each answer."""
    for entry in cfg.datasets if split == "train" else cfg.test_datasets or []:
        dataset = load_dataset_with_config(entry, cfg.hf_use_auth_token)
        for batch in dataset.iter(BATCH):
            unnamed = [""] * len(next(iter(batch.values())))
            names = list(zip(batch.get("id", unnamed), batch.get("source", unnamed), strict=True))
            for (row_id, source), row in zip(*_tokenize(cfg, tokenizer, entry, batch, names), strict=True):
                if isinstance(row, Example):
                    yield InspectedRow(row_id, source, row.prompt, row.answers, row.dropped_exchanges, None)
                else:
                    yield InspectedRow(row_id, source, [], (), 0, row)


def _tokenize(
    cfg: Any, tokenizer: Any, entry: Any, batch: Any, names: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], list[Example | Dropped]]:
    if cfg.rl:
        return names, dpo.examples(batch, tokenizer, template_for(entry.type), cfg.sequence_len)
    strategy = load_strategy(entry.type, tokenizer, cfg, entry)
    targets = [name for name, row in zip(names, batch["messages"], strict=True) for _ in strategy.targets(row)]
    return targets, strategy.examples(batch["messages"])


def pieces(tokenizer: Any, row: InspectedRow, answer: int) -> list[Piece]:
    """Cut a row with one of its answers into pieces of text."""
    special = special_ids(tokenizer)
    parts = ((row.prompt, False), (row.answers[answer], True))
    return [
        Piece(text, ids, trained, ids[0] in special)
        for tokens, trained in parts
        for text, ids in _whole_characters(tokenizer, tokens, special)
    ]


def _whole_characters(tokenizer: Any, tokens: Ids, special: frozenset[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    pending: tuple[int, ...] = ()
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        pending += (token,)
        text = tokenizer.decode(pending, clean_up_tokenization_spaces=False)
        # A character of UTF-8 has at most four bytes; what is no whole character by then is not going to be one.
        is_whole = "\N{REPLACEMENT CHARACTER}" not in text or len(pending) == 4
        if is_whole or following is None or following in special:
            yield text, pending
            pending = ()
