"""What pairs are made of: a prompt, the answers to it, and what a judge says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dataset_builders.rows import Message
from rabbit_ko.evaluation.judge.asking import Work
from rabbit_ko.evaluation.judge.verdicts import Judgement


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
