"""A judge at an OpenAI-compatible server: it scores each answer by a rubric, or compares each two in both orders."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from dataset_builders.strict import Strict
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.journal import digest
from rabbit_ko.evaluation.judge.asking import (
    Replies,
    Request,
    Work,
    ask_all,
    known_replies,
    settings_for,
    still_missing,
    verdict_of,
    work_of,
)
from rabbit_ko.evaluation.judge.deciding import deciding_files
from rabbit_ko.evaluation.judge.rubric import Asked
from rabbit_ko.evaluation.judge.verdicts import Judgement, Mode, Verdict, scored
from rabbit_ko.evaluation.judge.wanted import How, requests_for
from rabbit_ko.hashing import files_digest
from rabbit_ko.pairs.records import Case


class RubricConfig(Strict):
    """`rubric:` of a judge. mode: a score for each answer, or each two compared. verdicts: how many on the same."""

    mode: Mode = "score"
    verdicts: int = Field(default=1, ge=1, le=100)


class Question(NamedTuple):
    """A verdict that is wanted. places: of one answer, or of two in the order in which the judge sees them."""

    case: int
    places: tuple[int, ...]
    request: Request


@dataclass(frozen=True)
class RubricJudge:
    """A judge by rubric. The score of an answer is its mean, or the share of the other answers that it beats."""

    endpoint: Endpoint
    config: RubricConfig

    @property
    def name(self) -> str:
        return self.endpoint.model

    @cached_property
    def fingerprint(self) -> str:
        return digest([self.name, self.config.model_dump(), self._settings, files_digest(deciding_files())])

    @property
    def _settings(self) -> dict[str, Any]:
        return settings_for(self.config.verdicts)

    def work(self, cases: Sequence[Case], journal: Path) -> Work:
        """Return the requests for the verdicts that are missing, each of which is read at the first attempt."""
        requests = [question.request for question in self._questions(cases)]
        return work_of(still_missing(requests, known_replies(self.config.mode, requests, journal)))

    def judge(self, cases: Sequence[Case], journal: Path, most: int | None) -> list[Judgement]:
        """Judge the answers to each prompt; a request that was answered before is not sent again.

        Raises UserError where the server fails, refuses everything, or needs more requests than `most`.
        """
        questions = self._questions(cases)
        requests = [question.request for question in questions]
        heard = ask_all(self.config.mode, self.endpoint, requests, journal, self._settings, most)
        return self._judgements(cases, questions, heard.replies)

    def _questions(self, cases: Sequence[Case]) -> list[Question]:
        """Return the questions, in the order of the cases."""
        found, how = list[Question](), How(verdicts=self.config.verdicts)
        for number, (prompt, answers) in enumerate(cases):
            asked = Asked(prompt.messages, prompt.reference)
            for places in _places(self.config.mode, [answer.text for answer in answers]):
                texts, about = [answers[place].text for place in places], {"id": prompt.id, "answers": places}
                what = (self.config.mode, asked, texts, about, how.verdicts)
                found += [Question(number, places, it) for it in requests_for(how, self.endpoint, *what)]
        return found

    def _judgements(self, cases: Sequence[Case], questions: Sequence[Question], replies: Replies) -> list[Judgement]:
        said: dict[int, list[Verdict]] = defaultdict(list)
        for question in questions:
            reply = verdict_of(replies[question.request.key])
            said[question.case].append(Verdict(question.places, reply.score, reply.text))
        texts = ([answer.text for answer in answers] for _, answers in cases)
        return [scored(self.config.mode, some, said[number]) for number, some in enumerate(texts)]


def _places(mode: Mode, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the places of the answers that are asked about at a time."""
    if mode == "score":
        return [(place,) for place in range(len(texts))]
    return [pair for pair in permutations(range(len(texts)), 2) if texts[pair[0]] != texts[pair[1]]]
