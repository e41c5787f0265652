"""The model's answers: the second turn sees the first answer; what the journal has is not generated again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prompt_strategies.template import Messages
from rabbit_ko.evaluation.logickor.journal import Journal, digest
from rabbit_ko.evaluation.logickor.questions import TURNS, Question
from rabbit_ko.evaluation.logickor.strategies import Strategy, conversation


@dataclass(frozen=True)
class Prompt:
    """One turn to be answered. upcoming: the same conversation up to the second question, not answered yet."""

    id: str
    turn: int
    messages: Messages
    upcoming: Messages


Write = Callable[[Prompt, str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Generator:
    """What answers prompts, each of which it writes as it comes. identity: all that the answers depend on."""

    identity: dict[str, Any]
    generate: Callable[[list[Prompt], Write], None]


def answer_all(
    questions: list[Question], strategy: Strategy, generator: Generator, journal: Journal, progress: Progress
) -> dict[str, tuple[str, str]]:
    """Answer both turns of all questions; return the answers by id.

    Raises UserError where the model cannot answer, or an answer cannot be written; what has come is in the journal.
    """
    there = {record["key"]: record["text"] for record in journal.records() if {"key", "text"} <= record.keys()}
    answers: dict[tuple[str, int], str] = {}

    def note(prompt: Prompt, text: str) -> None:
        answers[prompt.id, prompt.turn] = text
        progress("answered", len(answers), TURNS * len(questions))

    def write(prompt: Prompt, text: str) -> None:
        key = digest([generator.identity, prompt.messages])
        journal.append({"key": key, "id": prompt.id, "turn": prompt.turn + 1, "text": text})
        note(prompt, text)

    for turn in range(TURNS):
        missing = []
        for prompt in _prompts(questions, strategy, turn, answers):
            if (text := there.get(digest([generator.identity, prompt.messages]))) is not None:
                note(prompt, text)
            else:
                missing.append(prompt)
        if missing:
            with journal.with_spare_space():
                generator.generate(missing, write)
    return {str(question.id): (answers[str(question.id), 0], answers[str(question.id), 1]) for question in questions}


def _prompts(
    questions: list[Question], strategy: Strategy, turn: int, answers: dict[tuple[str, int], str]
) -> Iterable[Prompt]:
    for question in questions:
        name = str(question.id)
        first_answer = answers[name, 0] if turn else None
        messages = conversation(strategy, question.questions, first_answer)
        yield Prompt(name, turn, messages, conversation(strategy, question.questions, ""))
