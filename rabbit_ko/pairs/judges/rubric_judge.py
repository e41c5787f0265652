"""A judge at an OpenAI-compatible server: it scores each answer by a rubric, or compares each two in both orders."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field
from tqdm import tqdm  # type: ignore[import-untyped]

from dataset_builders.strict import Strict
from prompt_strategies.messages import Messages
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Ask, Endpoint, Refused, ask_for_each
from rabbit_ko.evaluation.journal import append, digest, records
from rabbit_ko.evaluation.judging import ATTEMPTS, ask_as_allowed
from rabbit_ko.hashing import files_digest
from rabbit_ko.pairs.judges import verdicts
from rabbit_ko.pairs.judges.rubric import FOLDER, ask_about
from rabbit_ko.pairs.judges.verdicts import Mode, read_verdict, scored
from rabbit_ko.pairs.records import Case, Judgement, Prompt, Verdict, Work

# Of several verdicts on the same, each is drawn by itself.
TEMPERATURE = 0.7
# Characters a token, of Korean in the tokenizers of Llama 3 (1.48 in conversations, 1.51 in articles) and of Qwen 3
# (1.36 and 1.35), measured on ChatbotData and KoBEST. English has three times as many.
CHARACTERS_PER_TOKEN = 1.4
# What stands for a verdict that is not there yet, in characters.
VERDICT = 200
# So many refusals, and nothing but refusals, are of the settings and not of what is asked.
REFUSALS = 16
# So many verdicts, and nothing but verdicts that cannot be read, are of the judge and not of the answers.
UNREADABLE = 16
# Of one of them, in characters.
SHOWN = 80


class RubricConfig(Strict):
    """`rubric:` of a judge. mode: a score for each answer, or each two compared. verdicts: how many on the same."""

    mode: Mode = "score"
    verdicts: int = Field(default=1, ge=1, le=100)


class Question(NamedTuple):
    """A verdict that is wanted. places: of one answer, or of two in the order in which the judge sees them."""

    case: int
    places: tuple[int, ...]
    key: str


class Statement(NamedTuple):
    """What the judge said to one request, or why the server refused it. ended: whether the judge ended it."""

    score: float | None
    text: str
    ended: bool = False
    refused: bool = False


Replies = dict[str, list[Statement]]


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

    def work(self, cases: Sequence[Case], journal: Path) -> Work:
        """Return the requests for the verdicts that are missing, each of which is read at the first attempt."""
        missing = _missing(self._questions(cases), _known(journal, self.config.mode))
        asked = (self._ask_about(cases, question) for question in missing)
        characters = VERDICT * len(missing) + sum(len(message["content"]) for some in asked for message in some)
        return Work(len(missing), round(characters / CHARACTERS_PER_TOKEN))

    def judge(self, cases: Sequence[Case], journal: Path, most: int | None) -> list[Judgement]:
        """Judge the answers to each prompt; a request that was answered before is not sent again.

        Raises UserError where the server fails, refuses everything, or needs more requests than `most`.
        """
        replies = _known(journal, self.config.mode)
        questions = self._questions(cases)
        missing, total = _missing(questions, replies), len({question.key for question in questions})
        if most is not None and len(missing) > most:
            said = f"MAX_REQUESTS: {len(missing):,} verdicts are missing, and {most:,} requests may be sent"
            raise UserError(f"{said}; raise it, or lower max_prompts")
        with tqdm(desc="judged", initial=total - len(missing), total=total, disable=None) as progress:
            self._ask_all(missing, cases, _Notes(journal, self.name, replies), progress.update, most)
        return self._judgements(cases, questions, replies)

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
            while not _is_settled(before := notes.replies[question.key]):
                messages = self._ask_about(cases, question, again=bool(before))
                try:
                    text = await ask_as_allowed(ask, messages, settings)
                    reply = _read(self.config.mode, text, text.ended)
                except Refused as refused:
                    reply = Statement(None, str(refused), refused=True)
                notes.take(cases[question.case][0], question, reply)
            update()

        ask_for_each(self.endpoint, missing, work, most)
        notes.end()

    def _questions(self, cases: Sequence[Case]) -> list[Question]:
        """Return the questions, in the order of the cases; those with the same key are one request."""
        found = []
        for number, (_, answers) in enumerate(cases):
            for places in _places(self.config.mode, [answer.text for answer in answers]):
                question = Question(number, places, "")
                what = [self.name, self._settings, self._ask_about(cases, question)]
                found += [question._replace(key=digest([*what, time])) for time in range(self.config.verdicts)]
        return found

    def _ask_about(self, cases: Sequence[Case], question: Question, again: bool = False) -> Messages:
        prompt, answers = cases[question.case]
        return ask_about(self.config.mode, prompt, [answers[place].text for place in question.places], again)

    def _judgements(self, cases: Sequence[Case], questions: Sequence[Question], replies: Replies) -> list[Judgement]:
        said: dict[int, list[Verdict]] = defaultdict(list)
        for question in questions:
            found = replies[question.key]
            reply = next((each for each in found if each.score is not None), found[-1])
            said[question.case].append(Verdict(question.places, reply.score, reply.text))
        texts = ([answer.text for answer in answers] for _, answers in cases)
        return [scored(self.config.mode, some, said[number]) for number, some in enumerate(texts)]


@dataclass(frozen=True)
class _Notes:
    """What a journal holds of a judge's replies. refusals: in a row, kept where an answer follows them.

    unreadable: the first replies, while none can be read.
    """

    journal: Path
    judge: str
    replies: Replies
    refusals: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[Statement] = field(default_factory=list)

    def take(self, prompt: Prompt, question: Question, reply: Statement) -> None:
        """Take a reply, which is on disk when this returns. Raises UserError."""
        self.replies[question.key].append(reply)
        record = {"key": question.key, "id": prompt.id, "answers": question.places, **reply._asdict()}
        self.refusals.append({**record, "judge": self.judge})
        if not reply.refused:
            self._write()
            self._check(reply)
        elif len(self.refusals) >= REFUSALS:
            raise UserError(f"{reply.text}; so it was {REFUSALS} times in a row, and no verdict could be had")

    def _check(self, reply: Statement) -> None:
        """Raise UserError where the judge has said much, and nothing that can be read."""
        if reply.score is not None or any(it.score is not None for some in self.replies.values() for it in some):
            return
        self.unreadable.append(reply)
        if len(self.unreadable) < UNREADABLE:
            return
        said = " ".join(reply.text.split())[-SHOWN:]
        how = f"ends with `{said}`" if reply.ended else f"was cut by the server at `{said}`"
        advice = f"take another judge; what it said is in {self.journal}, take that away to ask it again"
        raise UserError(
            f"{self.judge}: none of its first {UNREADABLE} verdicts can be read; the last {how}; {advice}"
        )

    def end(self) -> None:
        """Keep the last refusals. Raises UserError where there is nothing else."""
        if self.refusals and all(reply.refused for some in self.replies.values() for reply in some):
            raise UserError(f"{self.refusals[0]['text']}; no verdict could be had")
        self._write()

    def _write(self) -> None:
        while self.refusals:
            append(self.journal, self.refusals[0])
            del self.refusals[0]


def _known(journal: Path, mode: Mode) -> Replies:
    """Return the replies in a journal; what was paid for is read anew, should more be read now than it was then."""
    replies: Replies = defaultdict(list)
    for record in records(journal, key=str, text=str, ended=bool, refused=bool):
        refusal = Statement(None, record["text"], refused=True)
        reply = refusal if record["refused"] else _read(mode, record["text"], record["ended"])
        replies[record["key"]].append(reply)
    return replies


def _read(mode: Mode, text: str, ended: bool) -> Statement:
    return Statement(read_verdict(mode, text) if ended else None, text, ended)


def _places(mode: Mode, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the places of the answers that are asked about at a time."""
    if mode == "score":
        return [(place,) for place in range(len(texts))]
    return [pair for pair in permutations(range(len(texts)), 2) if texts[pair[0]] != texts[pair[1]]]


def _missing(questions: Iterable[Question], replies: Replies) -> list[Question]:
    wanted = {question.key: question for question in questions}
    return [question for key, question in wanted.items() if not _is_settled(replies[key])]


def _is_settled(replies: Sequence[Statement]) -> bool:
    return len(replies) >= ATTEMPTS or any(reply.refused or reply.score is not None for reply in replies)
