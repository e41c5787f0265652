"""Questions with answers whose order of quality is known: this project's own, or a file's, with scores of people."""

from itertools import combinations, permutations
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from rabbit_ko.evaluation.judge.questions import Identified, read_rows
from rabbit_ko.evaluation.judge.rubric import Asked, language_of
from rabbit_ko.evaluation.judge.verdicts import Language

SAMPLES = Path(__file__).parents[1] / "samples" / "judge_check.jsonl"

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Item(Identified, extra="forbid", frozen=True):
    """A question, and answers to it, the best one first.

    reference: what is right, or empty. human: what people gave each answer, from 1 to 10; by it they are sorted.
    english, mixed: the best answer in English, and half in English, where the question is Korean; or empty.
    """

    id: Text
    question: Text
    answers: tuple[Text, ...] = Field(min_length=1)
    reference: str = ""
    human: tuple[float, ...] = ()
    english: str = ""
    mixed: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({*self.answers}) < len(self.answers):
            raise ValueError("two answers are the same; give each once")
        if self.human and len(self.human) != len(self.answers):
            raise ValueError(f"{len(self.human)} scores in `human` for {len(self.answers)} answers; give each one")
        if not all(1 <= score <= 10 for score in self.human):
            raise ValueError("a score in `human` is not from 1 to 10; bring them onto the judge's scale")
        if self.human:
            best_first = sorted(zip(self.human, self.answers, strict=True), key=lambda pair: -pair[0])
            human, answers = zip(*best_first, strict=True)
            # The fields of what is frozen are set once, here.
            self.__dict__.update(human=human, answers=answers)
        return self

    @property
    def asked(self) -> Asked:
        return Asked([{"role": "user", "content": self.question}], self.reference)

    @property
    def language(self) -> Language:
        return language_of(self.asked)

    @property
    def ranked(self) -> list[tuple[int, int]]:
        """The places of each two answers of which one is better, that one first."""
        worth = self.human or range(len(self.answers), 0, -1)
        pairs = permutations(range(len(self.answers)), 2)
        return [(better, worse) for better, worse in pairs if worth[better] > worth[worse]]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The places of each two answers."""
        return [*combinations(range(len(self.answers)), 2)]


def read_items(file: Path = SAMPLES) -> list[Item]:
    """Read JSON lines. Raises OSError, and UserError with the place of what is no item, or has another's id."""
    return read_rows(file, Item)
