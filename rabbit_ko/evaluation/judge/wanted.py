"""The verdicts that a bench wants of a judge: on each answer of a stage, or on its answers beside another's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from dataset_builders.rows import Message
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.journal import digest
from rabbit_ko.evaluation.judge.asking import Request, settings_for
from rabbit_ko.evaluation.judge.questions import Question
from rabbit_ko.evaluation.judge.rubric import GENERAL, SIDES, Asked, ask_about, read_rubric, rubric_for, rubric_name
from rabbit_ko.evaluation.judge.verdicts import Mode

# In which two conversations are shown.
ORDERS = ((0, 1), (1, 0))


@dataclass(frozen=True)
class How:
    """How a judge is asked. rubric: its name, or a file. verdicts: how many on the same."""

    rubric: str = GENERAL
    verdicts: int = 1

    @property
    def settings(self) -> dict[str, Any]:
        """What is sent with each request."""
        return settings_for(self.verdicts)

    def unlike(self, usual: "How") -> str:
        """Return what the name of a result says of it where that is another one than usual."""
        parts = [rubric_name(self.rubric)] if self.rubric != usual.rubric else []
        if self.verdicts != usual.verdicts:
            parts.append(f"{self.verdicts}-verdict{'s' if self.verdicts > 1 else ''}")
        # No judge's name has this character in a file's.
        return "".join(f"+{part}" for part in parts)

    @property
    def lowest(self) -> float:
        """The lowest score of the rubric."""
        return read_rubric("ko" if self.rubric == GENERAL else self.rubric).lowest


class Wanted(NamedTuple):
    """A verdict that is wanted. id: the question's. places: the turn of the answer; or of two, their order."""

    id: str
    places: tuple[int, ...]
    request: Request


def on_answers(how: How, judge: Endpoint, question: Question, answers: Sequence[str]) -> list[Wanted]:
    """Return the verdicts on the answers to a question's turns, each with all that was said before it."""
    return [
        wanted
        for turn, answer in enumerate(answers)
        for wanted in _times(how, judge, question, "score", (turn,), _up_to(question, turn, answers), [answer])
    ]


def on_two(how: How, judge: Endpoint, question: Question, one: Sequence[str], other: Sequence[str]) -> list[Wanted]:
    """Return the verdicts on two conversations as a whole, in both orders; none where they are the same."""
    if one == other:
        return []
    found = list[Wanted]()
    for order in ORDERS:
        sides = [(one, other)[place] for place in order]
        asked, last = _beside(question, *sides), [side[-1] for side in sides]
        found += _times(how, judge, question, "pairwise", order, asked, last)
    return found


def _times(
    how: How,
    judge: Endpoint,
    question: Question,
    mode: Mode,
    places: tuple[int, ...],
    asked: Asked,
    answers: Sequence[str],
) -> Iterator[Wanted]:
    about = {"id": question.name, "answers": places}
    for request in requests_for(how, judge, mode, asked, answers, about, how.verdicts):
        yield Wanted(question.name, places, request)


def requests_for(
    how: How,
    judge: Endpoint,
    mode: Mode,
    asked: Asked,
    answers: Sequence[str],
    about: Mapping[str, Any],
    times: int = 1,
) -> list[Request]:
    """Return so many requests for a verdict on one answer, or on two; about: what a journal says of them besides."""
    messages = partial(ask_about, mode, asked, answers, name=how.rubric)
    what, language = [judge.model, how.settings, messages(False)], rubric_for(asked, how.rubric).language
    return [Request(digest([*what, time]), about, messages, language) for time in range(times)]


def _up_to(question: Question, turn: int, answers: Sequence[str]) -> Asked:
    """Return a turn with all that was said before it."""
    said: list[Message] = []
    for earlier in range(turn):
        said += _turn(question, earlier, assistant=answers[earlier])
    return Asked([*said, *_turn(question, turn)[:1]], question.reference(turn))


def _beside(question: Question, first: Sequence[str], second: Sequence[str]) -> Asked:
    """Return all turns, with the answers of two conversations beside each other, but for the last."""
    said: list[Message] = []
    last = len(question.turns) - 1
    for turn in range(last):
        answers = dict(zip((f"answer {side}" for side in SIDES), (first[turn], second[turn]), strict=True))
        said += _turn(question, turn, **answers)
    return Asked([*said, *_turn(question, last)[:1]], question.reference(last))


def _turn(question: Question, turn: int, **answers: str) -> list[Message]:
    said = {"user": question.turns[turn], "reference": question.reference(turn), **answers}
    return [Message(role=role, content=text) for role, text in said.items()]
