"""Stages through a judged bench: answers, verdicts and figures, each step kept for the next run and other judges."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from rabbit_ko import storage
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable
from rabbit_ko.evaluation.journal import digest, locked, mend
from rabbit_ko.evaluation.judge.answers import USUAL, Answers
from rabbit_ko.evaluation.judge.asking import ATTEMPTS, Work, ask_all, known_replies, still_missing, work_of
from rabbit_ko.evaluation.judge.benches import Bench
from rabbit_ko.evaluation.judge.forms import HIGHEST
from rabbit_ko.evaluation.judge.judged import on_each_answer, on_two_stages, said_of
from rabbit_ko.evaluation.judge.manner import Manner
from rabbit_ko.evaluation.judge.names import file_name
from rabbit_ko.evaluation.judge.questions import Question, load_questions
from rabbit_ko.evaluation.judge.rubric import SIDES, check_rubric
from rabbit_ko.evaluation.judge.servers import note_server
from rabbit_ko.evaluation.judge.verdicts import Mode
from rabbit_ko.evaluation.judge.wanted import How, Wanted, on_answers, on_two
from rabbit_ko.evaluation.records import BY, Result, finished_result, model_of, save_result
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.terminal import say


@dataclass(frozen=True)
class Job:
    """A stage's answers and a judge: the scores of each answer; or, against another stage's, which are better."""

    answers: Answers
    judge: Endpoint
    how: How
    against: Answers | None = None

    @property
    def mode(self) -> Mode:
        return "pairwise" if self.against else "score"

    @property
    def task(self) -> str:
        """The name of the result, which no other judge, rubric, number of verdicts or stage to compare with has."""
        return f"{self.answers.bench.name}{BY}{file_name(self.judge.model)}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f"{self.how.unlike(How(self.answers.bench.rubric))}{self._against}"

    @property
    def _against(self) -> str:
        return f".against-{self.against.stage.name}" if self.against else ""

    @property
    def folder(self) -> Path:
        """Where the judge's verdicts on the stage are."""
        return self.answers.folder / file_name(self.judge.model)

    @property
    def journal(self) -> Path:
        return self.folder / f"verdicts{self._against}.jsonl"

    @property
    def all_answers(self) -> list[Answers]:
        return [self.answers, *([self.against] if self.against else [])]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides the figures besides the model."""
        bench, questions = self.answers.bench, self.answers.questions
        told = [
            wanted.request.messages(False)
            for question in questions
            for wanted in self._on(question, *([side] * len(question.turns) for side in SIDES))
        ]
        settings: dict[str, Any] = {
            "bench": bench.name,
            "data": "hub" if bench.data else "file",
            "prompt": self.answers.stage.prompt,
            "questions": digest([bench.messages, [question.model_dump(mode="json") for question in questions]]),
            "judge": self.judge.model,
            "rubric": self.how.rubric,
            "judge_prompt": digest(told),
            "verdicts": self.how.verdicts,
            "scale": 1 if self.against else int(HIGHEST),
            "max_new_tokens": self.answers.max_new_tokens,
        }
        if self.against:
            settings |= {"against": self.against.stage.name, "against_model": self.against.model.model_dump()}
        return settings

    def _on(self, question: Question, one: Sequence[str], other: Sequence[str] = ()) -> list[Wanted]:
        if self.against:
            return on_two(self.how, self.judge, question, one, other)
        return on_answers(self.how, self.judge, question, one)

    @property
    def wanted(self) -> list[Wanted]:
        """The verdicts on answers that are all there."""
        return [
            wanted
            for question in self.answers.questions
            for wanted in self._on(question, *(answers.of(question) for answers in self.all_answers))
        ]

    @property
    def work(self) -> Work:
        """What is still to be asked of the judge, also on answers that are not there yet."""
        requests = [
            wanted.request
            for question in self.answers.questions
            for wanted in self._on(question, *(answers.expected(question) for answers in self.all_answers))
        ]
        return work_of(still_missing(requests, known_replies(self.mode, requests, self.journal, self.how.lowest)))

    def run(self, most: int | None, manner: Manner) -> tuple[Result, int]:
        """Have the answers judged, save the result, and return it with how many requests were sent.

        manner: what is known of the judge's server. Raises UserError.
        """
        started, wanted = datetime.now(UTC), self.wanted
        requests, limits = [each.request for each in wanted], (most, self.how.lowest)
        heard = ask_all(self.mode, self.judge, requests, self.journal, manner.settings, *limits, manner)
        said, own = said_of(wanted, heard.replies), self.answers
        found = on_two_stages(own, self.against, said) if self.against else on_each_answer(own, said)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found.rows)
        storage.write(str(self.folder / f"judged{self._suffix}.jsonl"), lines.encode())
        fields = {"task": self.task, "model": own.model, "settings": self.settings, "scores": found.scores}
        result = save_result(
            own.stage,
            started,
            found.samples,
            notes=[*found.notes, *(note for answers in self.all_answers for note in answers.notes)],
            **fields,
        )
        return result, heard.sent


def plan_jobs(
    stages: Sequence[tuple[Stage, Endpoint | None]],
    against: Sequence[tuple[Stage, Endpoint | None]],
    bench: Bench,
    judges: Sequence[Endpoint],
    how: How,
    max_new_tokens: int,
) -> list[Job]:
    """Return a job for each judge of each stage, which are compared with another stage where there is one.

    stages, against: each with the server that has its model, if one does. Raises OSError, UserError.
    """
    check_rubric(how.rubric, "pairwise" if against else "score")
    questions = load_questions(bench)

    def answers_of(stage: Stage, server: Endpoint | None) -> Answers:
        return Answers(stage, server, model_of(stage, server), bench, questions, max_new_tokens)

    others: list[Answers | None] = [answers_of(*other) for other in against]
    found = [answers_of(*stage) for stage in stages]
    return [Job(answers, judge, how, other) for answers in found for other in others or [None] for judge in judges]


def judge_all(jobs: Sequence[Job], most: int | None = None) -> Iterator[tuple[Job, Result, bool]]:
    """Yield each job with its result, and whether that is new; what is finished is not asked for again.

    most: requests that may be sent; with 0 nothing is done but to tell how many it takes. Raises UserError, OSError.
    """
    finished = [_finished(job) for job in jobs]
    to_do = [job for job, result in zip(jobs, finished, strict=True) if result is None]
    needed = list({answers.folder: answers for job in to_do for answers in job.all_answers}.values())
    with ExitStack() as locks:
        for answers in needed:
            locks.enter_context(locked(answers.folder))
            mend(answers.journal)
            answers.read()
        for job in to_do:
            mend(job.journal)
        if _announce(needed, to_do, most) and most == 0:
            return
        for job in jobs:
            note_server(job.folder, job.judge)
        manners = dict[tuple[str, str, Mode], Manner]()
        for job, result in zip(jobs, finished, strict=True):
            if result:
                yield job, result, False
                continue
            for answers in job.all_answers:
                most = _less(most, answers.make(most))
            about = (job.judge.url, job.judge.model, job.mode)
            new, sent = job.run(most, manners.setdefault(about, Manner(job.mode, job.how.settings)))
            most = _less(most, sent)
            yield job, new, True


def _less(most: int | None, sent: int) -> int | None:
    return None if most is None else most - sent


def _finished(job: Job) -> Result | None:
    return finished_result(job.answers.stage, job.task, job.answers.model, job.settings)


def _announce(needed: Sequence[Answers], jobs: Sequence[Job], most: int | None) -> bool:
    """Say what will be asked of servers, and see that they are there; return whether there is anything to do.

    Raises UserError where it is more than may be sent, unless that is nothing.
    """
    drawn = sum((answers.work for answers in needed), Work())
    verdicts = sum((job.work for job in jobs), Work())
    work, here = drawn + verdicts, sum(answers.missing for answers in needed if not answers.server)
    if not (here or work.requests):
        return False
    parts = f"{drawn.requests:,} for answers, {verdicts.requests:,} for verdicts"
    if verdicts.requests:
        parts += f" or more, as one that cannot be read is asked for {ATTEMPTS} times at most"
    unknown = f", if an answer has {USUAL} characters" if any(answers.missing for answers in needed) else ""
    line = f"{work.requests:,} requests, of about {work.tokens:,} tokens{unknown}: {parts}"
    if most and work.requests > most:
        advice = "raise it, or take fewer judges, stages or verdicts"
        raise UserError(f"MAX_REQUESTS={most}: there may be {line}; {advice}")
    own = f"; {here:,} answers are generated on this machine" if here else ""
    say((line if work.requests else "no requests") + own, is_error=True)
    if most == 0:
        return True
    servers = [answers.server for answers in needed if answers.server and answers.work.requests]
    judges = [job.judge for job in jobs] if verdicts.requests else []
    for endpoint in {endpoint.url: endpoint for endpoint in (*judges, *servers)}.values():
        check_reachable(endpoint)
    return True
