"""A stage through LogicKor: its answers, the verdicts on them, and the scores, each step kept for the next run."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable
from rabbit_ko.evaluation.journal import Journal, digest, locked
from rabbit_ko.evaluation.logickor.answers import Progress, answer_all, local, served
from rabbit_ko.evaluation.logickor.judge import Verdicts, judge_all
from rabbit_ko.evaluation.logickor.judged_rows import write_judged
from rabbit_ko.evaluation.logickor.prompts import METRICS, Strategy, conversation, judge_messages
from rabbit_ko.evaluation.logickor.questions import Question
from rabbit_ko.evaluation.logickor.scores import Row, samples, scores
from rabbit_ko.evaluation.records import Model, Result, make_result, write_result
from rabbit_ko.evaluation.stages import Stage

SHOWN = 6


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
        """The name of the result."""
        return "logickor" if self.strategy == "default" else f"logickor-{self.strategy}"

    def settings(self) -> dict[str, Any]:
        """Return what the figures depend on besides the model; two stages can be compared where it is the same."""
        asked = [
            (question.model_dump(mode="json"), conversation(self.strategy, question.questions, ""))
            for question in self.questions
        ]
        return {
            "data": self.data,
            "prompt": self.stage.prompt,
            "strategy": self.strategy,
            "questions": digest(asked),
            "judge": self.judge.model,
            "judge_prompt": digest([judge_messages(self.questions[0], ("", ""), metric) for metric in METRICS]),
            "max_new_tokens": self.max_new_tokens,
        }


def run_job(job: Job, model: Model, progress: Progress) -> Result:
    """Answer, judge, score, and write the result.

    Raises UserError where the model or the judge cannot do its part, and OSError where a file cannot be written; what
    has come is kept for the next run.
    """
    started, folder = datetime.now(UTC), job.stage.results / "logickor" / job.strategy
    for endpoint in filter(None, (job.judge, job.server)):
        check_reachable(endpoint)
    if job.server:
        generator = served(job.server, model.fingerprint, job.max_new_tokens)
    else:
        generator = local(job.stage, model.fingerprint, job.max_new_tokens)
    with locked(folder):
        answers = answer_all(job.questions, job.strategy, generator, Journal(folder / "answers.jsonl"), progress)
        verdicts = judge_all(job.questions, answers, job.judge, Journal(folder / "verdicts.jsonl"), progress)
        write_judged(folder / "judged.jsonl", job.questions, answers, verdicts)
        rows = [
            Row(name, question.category, verdicts[name, "single"].score, verdicts[name, "multi"].score)
            for question in job.questions
            for name in [str(question.id)]
        ]
        fields = {"task": job.task, "model": model, "settings": job.settings(), "scores": scores(rows)}
        result = make_result(job.stage, started, **fields, notes=_notes(verdicts))
        write_result(job.stage.results, result, samples(rows))
    return result


def _notes(verdicts: Verdicts) -> list[str]:
    missing = [f"{name} {metric}" for (name, metric), verdict in verdicts.items() if verdict.score is None]
    if not missing:
        return []
    which = ", ".join(missing[:SHOWN]) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
    return [f"no readable verdict on {which}; they are in no mean, and the next run asks for them again"]
