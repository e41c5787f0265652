"""A judge at an OpenAI-compatible server: it scores each answer by a rubric, or compares each two in both orders."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, permutations
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import Field
from tqdm import tqdm  # type: ignore[import-untyped]

from dataset_builders.strict import Strict
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, ask_for_each
from rabbit_ko.evaluation.journal import append, digest, records
from rabbit_ko.evaluation.judging import ATTEMPTS, ask_as_allowed
from rabbit_ko.hashing import files_digest
from rabbit_ko.pairs.judges import verdicts
from rabbit_ko.pairs.judges.rubric import FOLDER, ask_about
from rabbit_ko.pairs.judges.verdicts import Mode, read_verdict
from rabbit_ko.pairs.records import Case, Judgement, Prompt, Verdict, Work

# Of several verdicts on the same, each is drawn by itself.
TEMPERATURE = 0.7
# Characters a token, of Korean in the tokenizers of Llama 3 (1.48 in conversations, 1.51 in articles) and of Qwen 3
# (1.36 and 1.35): NLPY's ChatbotData and KoBEST. English has three times as many.
CHARACTERS_PER_TOKEN = 1.4
# What stands for texts that are not there yet, in characters: an answer without a reference, and a verdict.
ANSWER, VERDICT = 500, 200
# So many refusals, and nothing but refusals, are of the settings and not of what is asked.
REFUSALS = 16


class RubricConfig(Strict):
    """`rubric:` of a judge. mode: a score for each answer, or each two compared. verdicts: how many on the same."""

    mode: Mode = "score"
    verdicts: int = Field(default=1, ge=1, le=100)


class Question(NamedTuple):
    """A verdict that is wanted. places: of one answer, or of two in the order in which the judge sees them."""

    case: int
    places: tuple[int, ...]
    key: str


class Reply(NamedTuple):
    """What the judge said to one request, or why the server refused it."""

    score: float | None
    text: str
    refused: bool = False


Replies = dict[str, list[Reply]]


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
        said = files_digest([*FOLDER.glob("*.yaml"), Path(verdicts.__file__)])
        return digest([self.name, self.config.model_dump(), self._settings, said])

    @property
    def _settings(self) -> dict[str, Any]:
        return {"temperature": TEMPERATURE if self.config.verdicts > 1 else 0.0}

    def work(self, prompts: Sequence[Prompt], answers: int) -> Work:
        """Return the requests for all verdicts, each of which is read at the first attempt."""
        each = 1 if self.config.mode == "score" else 2
        requests = self.config.verdicts * (answers if each == 1 else answers * (answers - 1))
        characters = 0
        for prompt in prompts:
            texts = ask_about(self.config.mode, prompt, [prompt.reference or "-" * ANSWER] * each)
            characters += VERDICT + sum(len(message["content"]) for message in texts)
        return Work(requests * len(prompts), round(requests * characters / CHARACTERS_PER_TOKEN))

    def judge(self, cases: Sequence[Case], journal: Path, most: int | None) -> list[Judgement]:
        """Judge the answers to each prompt; a request that was answered before is not sent again.

        Raises UserError where the server fails, refuses everything, or needs more requests than `most`.
        """
        replies = _known(journal)
        questions = [list(self._questions(number, case)) for number, case in enumerate(cases)]
        wanted = {question.key: question for some in questions for question in some}
        missing = [question for key, question in wanted.items() if not _is_settled(replies[key])]
        if most is not None and len(missing) > most:
            said = f"MAX_REQUESTS: {len(missing):,} verdicts are missing, and {most:,} requests may be sent"
            raise UserError(f"{said}; raise it, or lower max_prompts")
        with tqdm(desc="judged", initial=len(wanted) - len(missing), total=len(wanted), disable=None) as progress:
            self._ask_all(missing, cases, _Notes(journal, self.name, replies), progress.update, most)
        return [self._judgement(case, some, replies) for case, some in zip(cases, questions, strict=True)]

    def _ask_all(
        self,
        missing: list[Question],
        cases: Sequence[Case],
        notes: "_Notes",
        update: Callable[[], Any],
        most: int | None,
    ) -> None:
        settings = self._settings

        async def work(ask: Ask, question: Question) -> None:
            prompt, answers = cases[question.case]
            texts = [answers[place].text for place in question.places]
            while not _is_settled(before := notes.replies[question.key]):
                messages = ask_about(self.config.mode, prompt, texts, again=bool(before))
                try:
                    text = await ask_as_allowed(ask, messages, settings)
                    reply = Reply(read_verdict(self.config.mode, text), text)
                except Refused as refused:
                    reply = Reply(None, str(refused), refused=True)
                notes.take(prompt, question, reply)
            update()

        ask_for_each(self.endpoint, missing, work, most)
        notes.end()

    def _questions(self, number: int, case: Case) -> Iterator[Question]:
        prompt, answers = case
        texts = [answer.text for answer in answers]
        places: Iterable[tuple[int, ...]] = ((place,) for place in range(len(texts)))
        if self.config.mode == "pairwise":
            places = (pair for pair in permutations(range(len(texts)), 2) if texts[pair[0]] != texts[pair[1]])
        for some in places:
            messages = ask_about(self.config.mode, prompt, [texts[place] for place in some])
            for repetition in range(self.config.verdicts):
                yield Question(number, some, digest([self.name, self._settings, messages, repetition]))

    def _judgement(self, case: Case, questions: Sequence[Question], replies: Replies) -> Judgement:
        found = [(question.places, replies[question.key][-1]) for question in questions]
        said = tuple(Verdict(places, reply.score, reply.text) for places, reply in found)
        if self.config.mode == "pairwise":
            return _compared([answer.text for answer in case[1]], said)
        return Judgement(tuple(_mean(said, (place,)) for place in range(len(case[1]))), said)


@dataclass(frozen=True)
class _Notes:
    """What a journal holds of a judge's replies. refusals: in a row, kept where an answer follows them."""

    journal: Path
    judge: str
    replies: Replies
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def take(self, prompt: Prompt, question: Question, reply: Reply) -> None:
        """Take a reply, which is on disk when this returns. Raises UserError."""
        self.replies[question.key].append(reply)
        record = {"key": question.key, "id": prompt.id, "answers": question.places, **reply._asdict()}
        self.refusals.append({**record, "judge": self.judge})
        if not reply.refused:
            self._write()
        elif len(self.refusals) == REFUSALS:
            raise UserError(f"{reply.text}; so it was {REFUSALS} times in a row, and no verdict could be had")

    def end(self) -> None:
        """Keep the last refusals. Raises UserError where there is nothing else."""
        if self.refusals and all(reply.refused for some in self.replies.values() for reply in some):
            raise UserError(f"{self.refusals[0]['text']}; no verdict could be had")
        self._write()

    def _write(self) -> None:
        while self.refusals:
            append(self.journal, self.refusals[0])
            del self.refusals[0]


def _known(journal: Path) -> Replies:
    replies: Replies = defaultdict(list)
    for record in records(journal, key=str, text=str):
        score = record.get("score")
        reply = Reply(score if isinstance(score, float) else None, record["text"], record.get("refused") is True)
        replies[record["key"]].append(reply)
    return replies


def _is_settled(replies: Sequence[Reply]) -> bool:
    return len(replies) >= ATTEMPTS or any(reply.refused or reply.score is not None for reply in replies)


def _mean(said: Iterable[Verdict], places: tuple[int, ...]) -> float | None:
    scores = [verdict.score for verdict in said if verdict.answers == places and verdict.score is not None]
    return fmean(scores) if scores else None


def _compared(texts: Sequence[str], said: Sequence[Verdict]) -> Judgement:
    """Return the shares of wins; a tie is half of one, and so is what cannot be read or came out otherwise."""
    shares: list[list[float]] = [[] for _ in texts]
    readable, disagreed = set[int](), set[tuple[int, int]]()
    for pair in combinations(range(len(texts)), 2):
        one, other = pair
        first, second = _mean(said, pair), _mean(said, pair[::-1])
        won = 0.5
        if first is not None and second is not None:
            readable |= {*pair}
            orders = {_winner(first), 1 - _winner(second)}
            won = orders.pop() if len(orders) == 1 else 0.5
            disagreed |= {pair} if orders else set()
        elif texts[one] == texts[other]:
            readable |= {*pair}
        shares[one].append(won)
        shares[other].append(1 - won)
    scores = [fmean(share) if place in readable else None for place, share in enumerate(shares)]
    return Judgement(tuple(scores), tuple(said), frozenset(disagreed))


def _winner(mean: float) -> float:
    return 0.5 if mean == 0.5 else float(mean > 0.5)
