"""One stage through one suite of tasks, or the finding that this is done already."""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.harness import data, ifeval
from rabbit_ko.evaluation.harness.backends import Answerer
from rabbit_ko.evaluation.harness.context import count_cut, encoded_apart
from rabbit_ko.evaluation.harness.suites import TASKS_FOLDER, Suite
from rabbit_ko.evaluation.records import (
    Model,
    Result,
    Sample,
    Score,
    command,
    now,
    read_result,
    versions,
    write_result,
)
from rabbit_ko.evaluation.stages import Stage


@dataclass
class Evaluation:
    """What is asked for; the harness's models that it needs are loaded once.

    limit: the first items of each task, all without it. template: on or off for every task; without it, generated
    answers are asked for in the recipe's prompt, and given answers weighed behind the bare text.
    """

    answerer: Answerer
    limit: int | None = None
    template: bool | None = None
    hub_dir: str = ""
    _models: dict[tuple[bool, bool], Any] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        return self.answerer.stage

    def in_prompt(self, suite: Suite) -> bool:
        """Tell whether a suite's questions are asked in the recipe's prompt."""
        return suite.generates if self.template is None else self.template

    def is_chat(self, suite: Suite) -> bool:
        """Tell whether a server renders the prompt, and knows alone how long it gets."""
        return bool(self.answerer.url) and suite.generates and self.in_prompt(suite)

    def settings(self, suite: Suite) -> dict[str, Any]:
        """Return what a suite's figures depend on besides the model. Raises UserError where its data are missing."""
        fingerprint = data.fingerprint(self.hub_dir, suite.data)
        in_prompt = self.in_prompt(suite)
        settings = {"shots": suite.shots, "limit": self.limit, "template": in_prompt, "data": fingerprint}
        return {**settings, "prompt": self.stage.prompt} if in_prompt else settings

    def model_for(self, suite: Suite) -> Any:
        """Return the harness's model for a suite. Raises UserError where it cannot be loaded."""
        # A server is asked in another way for likelihoods than for answers.
        kind = (suite.generates, self.in_prompt(suite)) if self.answerer.url else (True, True)
        if kind not in self._models:
            with TemporaryDirectory(prefix="rabbit-ko-tokenizer-") as folder:
                self._models[kind] = self.answerer.load(Path(folder), suite.generates, self.in_prompt(suite))
        return self._models[kind]


def finished(evaluation: Evaluation, suite: Suite, model: Model) -> Result | None:
    """Return the suite's result if it was measured on this model with these settings."""
    result = read_result(evaluation.stage.results, suite.name)
    if result and (result.model, result.settings) == (model, evaluation.settings(suite)):
        return result
    return None


def run(evaluation: Evaluation, suite: Suite, model: Model) -> Result | None:
    """Run a suite and write its result; None in all processes but the first of several.

    Raises UserError where the model cannot be loaded or a task cannot be run, OSError where a file cannot be written.
    """
    settings = evaluation.settings(suite)
    started, clock = now(), perf_counter()
    output = _simple_evaluate(evaluation, suite)
    if output is None:
        return None
    samples = output.pop("samples")
    result = Result(
        recipe=evaluation.stage.recipe,
        stage=evaluation.stage.name,
        task=suite.name,
        model=model,
        settings=settings,
        scores=list(_scores(output, suite)),
        versions=versions(),
        command=command(),
        started=started.isoformat(timespec="seconds"),
        seconds=round(perf_counter() - clock, 1),
        notes=_notes(evaluation, suite, samples),
        harness=output,
    )
    write_result(evaluation.stage.results, result, list(_samples(samples, suite)))
    return result


def _simple_evaluate(evaluation: Evaluation, suite: Suite) -> dict[str, Any] | None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    # What it warns of is in the settings and the notes.
    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    lm = evaluation.model_for(suite)
    in_prompt = evaluation.in_prompt(suite)
    try:
        with data.inside(evaluation.hub_dir), encoded_apart(lm, in_prompt):
            if suite.name == "ifeval":
                ifeval.prepare(evaluation.limit)
            output: dict[str, Any] | None = simple_evaluate(
                model=lm,
                tasks=list(suite.tasks),
                num_fewshot=suite.shots,
                limit=evaluation.limit,
                apply_chat_template=in_prompt,
                fewshot_as_multiturn=in_prompt,
                task_manager=TaskManager(include_path=str(TASKS_FOLDER)),
            )
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:
        # The harness, its tasks and the servers raise whatever they like, and behind a half-drawn progress bar.
        print(file=sys.stderr)
        raise UserError(f"{suite.name}: {reason(_cause(error))}; finished tasks are kept") from error
    return output


def _cause(error: BaseException) -> BaseException:
    """Return what went wrong at a server; the harness stumbles when it wants to say so."""
    return _cause(error.__context__) if isinstance(error, UnboundLocalError) and error.__context__ else error


def _scores(output: dict[str, Any], suite: Suite) -> Iterator[Score]:
    groups = output.get("groups", {})
    for task, figures in output["results"].items():
        for metric in suite.metrics:
            name, _, filter_name = metric.partition(",")
            key = f"{name},{filter_name or 'none'}"
            if key in figures:
                stderr = figures.get(f"{name}_stderr,{filter_name or 'none'}")
                yield Score(
                    task=task,
                    metric=metric,
                    value=figures[key],
                    stderr=stderr if isinstance(stderr, float) else None,
                    items=_items(output, task, task in groups),
                )


def _items(output: dict[str, Any], task: str, is_group: bool) -> int:
    counts = output["n-samples"]
    tasks = output["group_subtasks"][task] if is_group else [task]
    return sum(counts[name]["effective"] for name in tasks)


def _samples(samples: dict[str, list[dict[str, Any]]], suite: Suite) -> Iterator[Sample]:
    for task, rows in samples.items():
        for row in rows:
            for metric in suite.metrics:
                name, _, filter_name = metric.partition(",")
                value = row.get(name)
                if row["filter"] == (filter_name or "none") and isinstance(value, int | float):
                    yield Sample(task=task, item=row["doc_hash"], metric=metric, value=float(value))


def _notes(evaluation: Evaluation, suite: Suite, samples: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Say what a reader of the figures has to know."""
    notes = []
    if evaluation.limit:
        notes.append(f"the first {evaluation.limit} items of each task")
    if evaluation.hub_dir:
        notes.append(f"data from {evaluation.hub_dir}, in place of the hub")
    if not evaluation.is_chat(suite) and (cut := count_cut(evaluation.model_for(suite), samples)):
        notes.append(f"{cut} prompts were longer than the model's context and lost their beginning")
    return notes
