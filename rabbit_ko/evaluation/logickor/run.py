"""A stage through LogicKor: its answers, the verdicts on them, the figures, each step kept for the next run."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable
from rabbit_ko.evaluation.logickor import generators
from rabbit_ko.evaluation.logickor.answer import Generator, answer_all
from rabbit_ko.evaluation.logickor.journal import Journal, digest, locked
from rabbit_ko.evaluation.logickor.judge import judge_all
from rabbit_ko.evaluation.logickor.judged import Verdicts, rows_of, write_judged
from rabbit_ko.evaluation.logickor.prompt import METRICS, judge_messages
from rabbit_ko.evaluation.logickor.questions import Question
from rabbit_ko.evaluation.logickor.score import samples, scores
from rabbit_ko.evaluation.logickor.strategies import Strategy, conversation, task_name
from rabbit_ko.evaluation.records import Model, Result, command, now, read_result, versions, write_result
from rabbit_ko.evaluation.stages import Stage, fingerprint

SHOWN = 6

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """What is asked for. server: where the stage's model is served; without it, the model is loaded here.

    data: where the questions are from, `hub` or `file`.
    """

    stage: Stage
    questions: list[Question]
    judge: Endpoint
    server: Endpoint | None
    strategy: Strategy
    max_new_tokens: int
    data: str = "hub"

    @property
    def task(self) -> str:
        return task_name(self.strategy)

    def settings(self) -> dict[str, Any]:
        """Return what the figures depend on besides the model; two stages can be compared where it is the same."""
        asked = [
            (question.model_dump(mode="json"), conversation(self.strategy, question.questions, ""))
            for question in self.questions
        ]
        rubric = [judge_messages(self.questions[0], ("", ""), metric) for metric in METRICS]
        return {
            "data": self.data,
            "prompt": self.stage.prompt,
            "strategy": self.strategy,
            "questions": digest(asked),
            "judge": self.judge.model,
            "judge_prompt": digest(rubric),
            "max_new_tokens": self.max_new_tokens,
        }

    def model(self) -> Model:
        """Say which model answers."""
        hashed = fingerprint(self.stage.model)
        if self.server:
            return Model(path=self.server.place, fingerprint=hashed, backend="openai", name=self.server.model)
        return Model(path=self.stage.model, fingerprint=hashed, backend="hf")

    def generator(self, model: Model) -> Generator:
        """Return what answers."""
        if self.server:
            return generators.served(self.server, model.fingerprint, self.max_new_tokens)
        return generators.local(self.stage, model.fingerprint, self.max_new_tokens)


def finished(job: Job, model: Model) -> Result | None:
    """Return the result if it was measured on this model with these settings and misses no verdict."""
    result = read_result(job.stage.results, job.task)
    if result is None or (result.model, result.settings) != (model, job.settings()):
        return None
    return None if any(score.missing for score in result.scores) else result


def run(job: Job, model: Model, progress: Progress) -> Result:
    """Answer, judge, score, and write the result.

    Raises UserError where the model or the judge cannot do its part, and OSError where a file cannot be written; what
    has come is kept for the next run.
    """
    started, clock = now(), perf_counter()
    for endpoint in filter(None, (job.judge, job.server)):
        check_reachable(endpoint)
    folder = job.stage.results / "logickor" / job.strategy
    with locked(folder):
        answers = answer_all(
            job.questions, job.strategy, job.generator(model), Journal(folder / "answers.jsonl"), progress
        )
        verdicts = judge_all(job.questions, answers, job.judge, Journal(folder / "verdicts.jsonl"), progress)
        write_judged(folder / "judged.jsonl", job.questions, answers, verdicts)
        rows = rows_of(job.questions, verdicts)
        result = Result(
            recipe=job.stage.recipe,
            stage=job.stage.name,
            task=job.task,
            model=model,
            settings=job.settings(),
            scores=scores(rows),
            versions=versions(),
            command=command(),
            started=started.isoformat(timespec="seconds"),
            seconds=round(perf_counter() - clock, 1),
            notes=_notes(verdicts),
        )
        write_result(job.stage.results, result, samples(rows))
    return result


def _notes(verdicts: Verdicts) -> list[str]:
    missing = [f"{name} {metric}" for (name, metric), verdict in verdicts.items() if verdict.score is None]
    if not missing:
        return []
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    which = ", ".join(missing[:SHOWN]) + more
    return [f"no readable verdict on {which}; they are in no mean, and the next run asks for them again"]
