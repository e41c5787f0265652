"""A stage through LogicKor: its answers, the verdicts on them, and the scores, each step kept for the next run."""

import json
from datetime import UTC, datetime

from rabbit_ko import storage
from rabbit_ko.evaluation.endpoint import Endpoint, check_reachable
from rabbit_ko.evaluation.journal import digest, locked
from rabbit_ko.evaluation.logickor.answers import answer_all
from rabbit_ko.evaluation.logickor.judge import judge_all
from rabbit_ko.evaluation.logickor.questions import METRICS, Strategy, conversation, judge_messages, load_questions
from rabbit_ko.evaluation.logickor.scores import Row, samples, scores
from rabbit_ko.evaluation.records import Result, finished_result, model_of, save_result
from rabbit_ko.evaluation.stages import Stage


def evaluate(
    stage: Stage, file: str, judge: Endpoint, server: Endpoint | None, strategy: Strategy, max_new_tokens: int
) -> tuple[Result, bool]:
    """Answer the questions of a file or the hub, judge, score; return the result, and whether it is new.

    server: where the stage's model is served; without it, the model is loaded here. Raises UserError, OSError.
    """
    questions, started = load_questions(file), datetime.now(UTC)
    task = "logickor" if strategy == "default" else f"logickor-{strategy}"
    asked = [(row.model_dump(mode="json"), conversation(strategy, row.questions, "")) for row in questions]
    settings = {
        "data": "file" if file else "hub",
        "prompt": stage.prompt,
        "strategy": strategy,
        "questions": digest(asked),
        "judge": judge.model,
        "judge_prompt": digest([judge_messages(questions[0], ("", ""), metric) for metric in METRICS]),
        "max_new_tokens": max_new_tokens,
    }
    model = model_of(stage, server)
    if finished := finished_result(stage, task, model, settings):
        return finished, False
    for endpoint in filter(None, (judge, server)):
        check_reachable(endpoint)
    with locked(folder := stage.results / "logickor" / strategy):
        answers = answer_all(stage, server, model.fingerprint, questions, strategy, max_new_tokens)
        verdicts = judge_all(questions, answers, judge, folder / "verdicts.jsonl")
        rows, judged = [], ""
        for question in questions:
            single, multi = (verdicts[question.name, metric] for metric in METRICS)
            rows.append(Row(question.name, question.category, single.score, multi.score))
            row = question.model_dump(mode="json") | {"outputs": answers[question.name]}
            for metric, verdict in zip(METRICS, (single, multi), strict=True):
                row[f"query_{metric}"] = {"judge_message": verdict.message, "judge_score": verdict.score}
            judged += json.dumps(row | {"of": len(questions)}, ensure_ascii=False) + "\n"
        storage.write(str(folder / "judged.jsonl"), judged.encode())
        wanted = [(question.name, metric) for question in questions for metric in METRICS]
        missing = [" ".join(key) for key in wanted if verdicts[key].score is None]
        note = f"no readable verdict on {', '.join(missing)}; they are in no mean, and asked for in the next run"
        fields = {"model": model, "settings": settings, "scores": scores(rows), "notes": [note] if missing else []}
        return save_result(stage, started, samples(rows), task=task, **fields), True
