"""What pairs are made of: a prompt, the answers to it, and what a judge says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dataset_builders.rows import Message


@dataclass(frozen=True)
class Prompt:
    """What a stage is asked: messages up to a user's. id, source: of its row. reference: its answer, or empty."""

    id: str
    source: str
    messages: list[Message]
    reference: str = ""


@dataclass(frozen=True)
class Answer:
    """One of the answers to a prompt. key: a hash of all that it was made of. ended: whether the model ended it."""

    key: str
    text: str
    ended: bool


@dataclass(frozen=True)
class Verdict:
    """One statement of a judge, in its words.

    answers: the places of the answers that it is on: one, or two in the order in which the judge saw them. score: of
    one, the higher the better; of two, 1 where the first is better, 0 the second, 0.5 neither; None where it cannot
    be read.
    """

    answers: tuple[int, ...]
    score: float | None
    text: str


@dataclass(frozen=True)
class Judgement:
    """What a judge holds of the answers to one prompt.

    scores: of each, the higher the better; None where there is none that can be read. disagreed: pairs of places, the
    lower first, that cannot be read in both orders, or came out otherwise in one of them, or than their scores.
    """

    scores: tuple[float | None, ...]
    verdicts: tuple[Verdict, ...] = ()
    disagreed: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Work:
    """What is still to be asked of a server: so many requests, of about so many tokens, read and written."""

    requests: int = 0
    tokens: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.requests + other.requests, self.tokens + other.tokens)


Case = tuple[Prompt, Sequence[Answer]]


class Judge(Protocol):
    """What compares answers. name: a model's, or those of rules. fingerprint: a hash of all that decides a score."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    def work(self, cases: Sequence[Case], journal: Path) -> Work:
        """Return what it asks of a server to judge the answers to each prompt, but for what is in the journal."""
        ...

    def judge(self, cases: Sequence[Case], journal: Path, most: int | None) -> list[Judgement]:
        """Judge the answers to each prompt; each verdict is in the journal before the next step.

        most: requests that may be sent. Raises UserError, also where that is reached.
        """
        ...
