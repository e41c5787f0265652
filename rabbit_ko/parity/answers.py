"""What a door says of its answer to a conversation. A door is whatever a model is reached through."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prompt_strategies.messages import Messages

# How many of the likeliest tokens are compared at each place, and how many conversations are a batch.
TOP, BATCH = 20, 8


@dataclass(frozen=True)
class Token:
    """A token that was answered. logprob, top: natural logarithms, of it and of the likeliest at its place by id."""

    id: int
    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Answered:
    """An answer, and of its prompt what the door tells; None for what it does not.

    text: the answer without its end. tokens: with the one that ends it, where the door tells it. ended: whether the
    model ended it. prompt: as the door renders it. prompt_tokens: how many the door has read.
    """

    text: str
    ended: bool
    tokens: tuple[Token, ...] | None = None
    prompt: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    prompt_tokens: int | None = None


class Door(Protocol):
    """name: what stands in the table. quant: how the weights are stored, which says how near they have to be."""

    @property
    def name(self) -> str: ...
    @property
    def quant(self) -> str: ...
    @property
    def files(self) -> Sequence[Path]: ...
    def answer(self, conversations: Sequence[Messages], max_new_tokens: int) -> list[Answered]:
        """Return an answer to each conversation, always the likeliest token. Raises UserError."""
