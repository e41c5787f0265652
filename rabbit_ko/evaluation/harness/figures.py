"""What is kept of the harness's output: figures with intervals, the value of each item, and what was answered."""

from collections.abc import Iterator, Sequence
from math import fsum, hypot, isclose
from operator import itemgetter
from typing import Any

from rabbit_ko.evaluation.harness.suites import Suite
from rabbit_ko.evaluation.intervals import share_of
from rabbit_ko.evaluation.records import Answer, Sample, Score

Output = dict[str, Any]
# The harness's log of each item, by task.
Rows = dict[str, list[dict[str, Any]]]


def scores_of(output: Output, suite: Suite, samples: Sequence[Sample]) -> list[Score]:
    """Return the figures of a suite's tasks and groups, as the harness has them, and the means over the tasks."""
    scores = [with_interval(score, samples) for score in _figures(output, suite)]
    own = [score for score in scores if score.task in suite.tasks]
    by_metric = {metric: [score for score in own if score.metric == metric] for metric in suite.metrics}
    shared = [found for found in by_metric.values() if suite.mean and len(found) == len(suite.tasks)]
    return [*scores, *(mean_over_tasks(suite.mean, found) for found in shared)]


def _figures(output: Output, suite: Suite) -> Iterator[Score]:
    for task in suite.shown or output["results"]:
        figures, tasks = output["results"][task], _leaves(output, task)
        items = sum(output["n-samples"][name]["effective"] for name in tasks)
        of = [] if tasks == [task] else tasks
        for metric in suite.metrics:
            if (key := _key(metric)) in figures:
                error = figures.get(key.replace(",", "_stderr,"))
                stderr = error if isinstance(error, float) else None
                yield Score(task=task, metric=metric, value=figures[key], stderr=stderr, items=items, tasks=of)


def _leaves(output: Output, task: str) -> list[str]:
    """Return the tasks of a group, of its groups' too; of a task, itself."""
    members = output["group_subtasks"].get(task) or []
    return [leaf for member in members for leaf in _leaves(output, member)] if members else [task]


def with_interval(score: Score, samples: Sequence[Sample]) -> Score:
    """Return a figure with its 95 % interval where it is the share of items that are right: each is 0 or 1."""
    tasks = score.tasks or [score.task]
    values = [each.value for each in samples if each.metric == score.metric and each.task in tasks]
    if score.value is None or not values or not set(values) <= {0.0, 1.0}:
        return score
    share = share_of([value == 1.0 for value in values])
    if share.value is None or not isclose(share.value, score.value, abs_tol=1e-9):
        return score
    return score.model_copy(update={"low": share.low, "high": share.high})


def mean_over_tasks(name: str, scores: Sequence[Score]) -> Score:
    """Return the mean of tasks' figures, of which each counts the same however many items it has.

    Its standard error is that of a mean of independent means: the root of the sum of their squared errors, over how
    many they are. None where a task has none. https://arxiv.org/abs/2411.00640, section 3
    """
    errors = [score.stderr for score in scores if score.stderr is not None]
    return Score(
        task=name,
        metric=scores[0].metric,
        value=fsum(score.value or 0.0 for score in scores) / len(scores),
        stderr=hypot(*errors) / len(scores) if len(errors) == len(scores) else None,
        items=sum(score.items for score in scores),
        tasks=[score.task for score in scores],
    )


def samples_of(rows: Rows, suite: Suite) -> Iterator[Sample]:
    """Yield the value of each item for each metric of which it has one by itself."""
    for task, row in ((task, row) for task, found in rows.items() for row in found):
        for metric, value in _values(row, suite).items():
            yield Sample(task=task, item=row["doc_hash"], metric=metric, value=value)


def answers_of(rows: Rows, suite: Suite) -> list[Answer]:
    """Return what was asked and answered, each item once, whichever filters the harness has read it with."""
    answers: dict[tuple[str, int], Answer] = {}
    for task, row in ((task, row) for task, found in rows.items() for row in found):
        answer = answers.setdefault((task, row["doc_id"]), _answer(task, row, suite))
        answer.values |= _values(row, suite)
        if row["filter"] != "none":
            answer.read[row["filter"]] = _text(row["filtered_resps"][0])
    return list(answers.values())


def _answer(task: str, row: dict[str, Any], suite: Suite) -> Answer:
    target = row["doc"][suite.target] if suite.target else row["target"]
    choices: list[tuple[str, float]] = []
    if not suite.generates:
        likelihoods = [float(found[0][0]) for found in row["resps"]]
        choices = list(zip([text for _, text in row["arguments"]], likelihoods, strict=True))
        target = choices[target][0] if isinstance(target, int) else target
    return Answer(
        task=task,
        item=row["doc_hash"],
        prompt=_text(row["arguments"][0][0]),
        answer=max(choices, key=itemgetter(1))[0] if choices else _text(row["resps"][0][0]),
        target=_text(target),
        choices=choices,
    )


def _values(row: dict[str, Any], suite: Suite) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in suite.metrics:
        name, kept = _key(metric).split(",")
        if row["filter"] == kept and isinstance(row.get(name), int | float):
            found[metric] = float(row[name])
    return found


def _text(value: Any) -> str:
    """Return a text, a list's texts in a line, or the conversation in JSON that the harness gives to chat servers."""
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(getattr(value, "prompt", value))


def _key(metric: str) -> str:
    """Return the harness's key of a metric, which has a filter of answers in any case."""
    return metric if "," in metric else f"{metric},none"
