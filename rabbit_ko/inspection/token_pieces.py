"""Tokenized rows as pieces of text that keep their token ids, and counts over a split."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prompt_strategies.tokens import Ids, special_ids

if TYPE_CHECKING:
    from axolotl_plugins.stage_rows import TokenizedRow


@dataclass(frozen=True)
class Piece:
    """The shortest run of tokens that makes whole characters; nearly always one token."""

    text: str
    ids: tuple[int, ...]
    trained: bool
    special: bool


@dataclass
class SplitSummary:
    """Counts over all rows of a split.

    lengths: tokens of each row that is kept, prompt and longest answer. rows, tokens, trained: by source; a prompt's
    tokens count once for each of its answers. shortened: rows that lost their oldest exchanges to fit. dropped: (id,
    source) of the rows that the strategy drops, by reason.
    """

    lengths: list[int] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    trained: Counter[str] = field(default_factory=Counter)
    shortened: int = 0
    dropped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def summarize(rows: Iterable["TokenizedRow"]) -> SplitSummary:
    """Count the rows of a split."""
    summary = SplitSummary()
    for row in rows:
        if row.dropped:
            summary.dropped.setdefault(row.dropped.value, []).append((row.id, row.source))
            continue
        summary.lengths.append(row.length)
        summary.rows[row.source] += 1
        summary.tokens[row.source] += row.total
        summary.trained[row.source] += row.trained
        summary.shortened += row.dropped_exchanges > 0
    return summary


def answers(tokenizer: Any, row: "TokenizedRow") -> dict[str, list[Piece]]:
    """Return a row in pieces once for each answer, by what the answer is called; SFT's only one has no name."""
    names = ("chosen", "rejected") if len(row.answers) == 2 else ("",)
    prompt = list(_pieces(tokenizer, row.prompt, False))
    return {
        name: [*prompt, *_pieces(tokenizer, answer, True)] for name, answer in zip(names, row.answers, strict=False)
    }


def _pieces(tokenizer: Any, tokens: Ids, trained: bool) -> Iterator[Piece]:
    special = special_ids(tokenizer)
    pending: tuple[int, ...] = ()
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        pending += (token,)
        text = tokenizer.decode(pending, clean_up_tokenization_spaces=False)
        # A character of UTF-8 has at most four bytes; tokens that make none by then are not going to make one.
        is_whole = "\N{REPLACEMENT CHARACTER}" not in text or len(pending) == 4
        if is_whole or following is None or following in special:
            yield Piece(text, pending, trained, token in special)
            pending = ()
