"""Tokenized rows to look at: pieces of text that keep their token ids, counts over a split, and both printed."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from prompt_strategies.tokens import Ids, special_ids
from rabbit_ko.inspection.pages import quantile

if TYPE_CHECKING:
    from axolotl_plugins.checks.rows import TokenizedRow

# A row must not steer the terminal: an escape character is shown as ␛.
CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
CONTROL_PICTURES |= {0x7F: "␡", 0x9B: "␛"}


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
    """Return a row once for each answer, by what the answer is called; SFT's only one has no name."""
    names = ("chosen", "rejected") if len(row.answers) == 2 else ("",)
    return {name: pieces(tokenizer, row.prompt, answer) for name, answer in zip(names, row.answers, strict=False)}


def pieces(tokenizer: Any, prompt: Ids, answer: Ids) -> list[Piece]:
    """Cut a prompt and its answer into pieces of text."""
    special = special_ids(tokenizer)
    return [
        Piece(text, ids, trained, ids[0] in special)
        for tokens, trained in ((prompt, False), (answer, True))
        for text, ids in _whole_characters(tokenizer, tokens, special)
    ]


def _whole_characters(tokenizer: Any, tokens: Ids, special: frozenset[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    pending: tuple[int, ...] = ()
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        pending += (token,)
        text = tokenizer.decode(pending, clean_up_tokenization_spaces=False)
        # A character of UTF-8 has at most four bytes; tokens that make none by then are not going to make one.
        is_whole = "\N{REPLACEMENT CHARACTER}" not in text or len(pending) == 4
        if is_whole or following is None or following in special:
            yield text, pending
            pending = ()


def printable(text: str) -> str:
    """Return text that cannot steer the terminal."""
    return text.translate(CONTROL_PICTURES)


def print_row(console: Console, tokenizer: Any, row: "TokenizedRow") -> None:
    """Print a row with each of its answers: prompt tokens dim, trained ones green, special ones boxed."""
    name, source = (printable(row.id), "bold"), printable(row.source)
    if row.dropped:
        console.print(Text.assemble(name, f"  {source}  dropped: {row.dropped.value}"))
    shortened = f"  {row.dropped_exchanges} oldest exchanges dropped" if row.dropped_exchanges else ""
    for (side, pieces), answer in zip(answers(tokenizer, row).items(), row.answers, strict=True):
        title = f"  {source}{side and f'  {side}'}  {len(row.prompt)} + {len(answer)} tokens"
        console.print(Text.assemble(name, title, (shortened, "yellow")))
        console.print(Text.assemble(*map(_styled, pieces)), soft_wrap=True)
        console.print()


def print_summary(console: Console, summary: SplitSummary, sequence_len: int) -> None:
    """Print the trained share of each source, the lengths, and what the strategy drops."""
    table = Table("source", *(Column(name, justify="right") for name in ("rows", "tokens", "trained")))
    for name, tokens in sorted(summary.tokens.items()):
        share = f"{summary.trained[name] / tokens:.1%}"
        table.add_row(Text(printable(name)), f"{summary.rows[name]:,}", f"{tokens:,}", share)
    console.print(table)
    median, most, longest = (quantile(summary.lengths, share) for share in (0.5, 0.95, 1.0))
    console.print(f"tokens: median {median}, 95% up to {most}, longest {longest} of sequence_len {sequence_len}")
    console.print(f"{summary.shortened:,} rows without their oldest exchanges")
    for reason, rows in summary.dropped.items():
        console.print(f"{len(rows):,} rows dropped: {reason}")


def _styled(piece: Piece) -> tuple[str, str]:
    if piece.special:
        return f"⟦{piece.text}⟧", "bold reverse green" if piece.trained else "reverse"
    return printable(piece.text), "green" if piece.trained else "dim"
