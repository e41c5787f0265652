"""A row in pieces of text: which are prompt, which are trained, and which are control tokens."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from rich.text import Text

from prompt_strategies.tokens import Example, Ids
from rabbit_ko.errors import printable
from rabbit_ko.terminal import BREAKS, Terminal

if TYPE_CHECKING:
    from axolotl_plugins.checks.rows import TokenizedRow


@dataclass(frozen=True)
class Piece:
    """The shortest run of tokens that makes whole characters; nearly always one token.

    special: a control token, whether or not the tokenizer marks it as special; Qwen3's does not so mark `<think>`.
    """

    text: str
    ids: tuple[int, ...]
    trained: bool
    special: bool


def answers(tokenizer: Any, row: "TokenizedRow | Example") -> dict[str, list[Piece]]:
    """Return a row in pieces once for each answer, by what the answer is called; SFT's only one has no name."""
    only = {True: "good", False: "bad", None: ""}[getattr(row, "label", None)]
    names = ("chosen", "rejected") if len(row.answers) == 2 else (only,)
    edges = pairwise((0, *chain.from_iterable(row.earlier), len(row.prompt)))
    parts = [_pieces(tokenizer, row.prompt[slice(*span)], number % 2 == 1) for number, span in enumerate(edges)]
    prompt = list(chain.from_iterable(parts))
    return {
        name: [*prompt, *_pieces(tokenizer, answer, True)] for name, answer in zip(names, row.answers, strict=False)
    }


def _pieces(tokenizer: Any, tokens: Ids, trained: bool) -> Iterator[Piece]:
    special = _control_ids(tokenizer)
    pending: tuple[int, ...] = ()
    for token, following in zip(tokens, chain(tokens[1:], [None]), strict=False):
        pending += (token,)
        text = tokenizer.decode(pending, clean_up_tokenization_spaces=False)
        # A character of UTF-8 has at most four bytes; tokens that make none by then are not going to make one.
        is_whole = "\N{REPLACEMENT CHARACTER}" not in text or len(pending) == 4
        if is_whole or following is None or following in special:
            yield Piece(text, pending, trained, token in special)
            pending = ()


def _control_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids of tokens that were added to a vocabulary, but runs of blanks, as Gemma's has."""
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(token for token, it in added if it.special or it.content.strip(" \t\r\n▁"))


def print_pieces(console: Terminal, pieces: Iterable[Piece]) -> None:
    """Print pieces and an empty line: prompt tokens dim, trained ones green, control tokens boxed."""
    console.print(Text.assemble(*map(_styled, pieces), "\n"), soft_wrap=True)


def count_tokens(pieces: Iterable[Piece], trained: bool) -> int:
    """Return how many tokens of the pieces are trained, or are not."""
    return sum(len(piece.ids) for piece in pieces if piece.trained == trained)


def _styled(piece: Piece) -> tuple[str, str]:
    if piece.special:
        return f"⟦{piece.text}⟧", "bold reverse green" if piece.trained else "reverse"
    return printable(piece.text, keep=BREAKS), "green" if piece.trained else "dim"
