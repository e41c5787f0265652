"""A tokenized row, cut into pieces of text that can be shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from axolotl_plugins.stage_rows import TokenizedRow as InspectedRow
from prompt_strategies.tokens import Ids, special_ids


@dataclass(frozen=True)
class Piece:
    """The shortest run of tokens that makes whole characters; nearly always one token."""

    text: str
    ids: tuple[int, ...]
    trained: bool
    special: bool


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
