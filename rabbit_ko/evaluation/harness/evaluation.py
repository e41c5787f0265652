"""Run a stage through suites of lm-evaluation-harness, and write a result for each."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xxhash

from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.harness.backends import Answerer, count_truncated, encode_apart
from rabbit_ko.evaluation.harness.suites import TASKS_FOLDER, Suite
from rabbit_ko.evaluation.records import Model, Result, Sample, Score, make_result, write_result
from rabbit_ko.evaluation.stages import Stage


@dataclass
class Evaluation:
    """What is asked for; the harness's models that it needs are loaded once.

    limit: the first items of each task, all without it. template: on or off for every task; by default, generated
    answers are asked for in the recipe's prompt, and given answers compared after the bare text. hub_dir: a folder
    laid out like the hub, in its place.
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

    def settings(self, suite: Suite) -> dict[str, Any]:
        """Return what a suite's figures depend on besides the model. Raises UserError where its data are missing."""
        data, in_prompt = data_fingerprint(self.hub_dir, suite.data), self.in_prompt(suite)
        settings = {"shots": suite.shots, "limit": self.limit, "template": in_prompt, "data": data}
        return {**settings, "prompt": self.stage.prompt} if in_prompt else settings

    def model_for(self, suite: Suite) -> Any:
        """Return the harness's model for a suite. Raises UserError where it cannot be loaded."""
        # A server is asked in another way for likelihoods than for answers.
        kind = (suite.generates, self.in_prompt(suite)) if self.answerer.server else (True, True)
        if kind not in self._models:
            self._models[kind] = self.answerer.load(suite.generates, self.in_prompt(suite))
        return self._models[kind]


def evaluate(evaluation: Evaluation, suite: Suite, model: Model) -> Result | None:
    """Run a suite and write its result; None in all processes but the first of several.

    Raises UserError where the model cannot be loaded or a task cannot be run, OSError where a file cannot be written.
    """
    started, settings = datetime.now(UTC), evaluation.settings(suite)
    output = _simple_evaluate(evaluation, suite)
    if output is None:
        return None
    samples = output.pop("samples")
    result = make_result(
        evaluation.stage,
        started,
        task=suite.name,
        model=model,
        settings=settings,
        scores=list(_scores(output, suite)),
        notes=_notes(evaluation, suite, samples),
        harness=output,
    )
    write_result(evaluation.stage.results, result, list(_samples(samples, suite)))
    return result


def data_fingerprint(hub_dir: str, dataset: str) -> str:
    """Return a hash of a dataset's files in the folder; without one, `hub`. Raises UserError where it is missing."""
    if not hub_dir:
        return "hub"
    folder, digest = Path(hub_dir) / dataset, xxhash.xxh3_128()
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if not files:
        raise UserError(f"{folder}: no such dataset; leave HUB_DIR away to read it from the hub, or TASKS without it")
    for file in files:
        digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
    return digest.hexdigest()


@contextmanager
def fresh_datasets_cache(hub_dir: str) -> Iterator[None]:
    """Keep `datasets` from what it has cached of a local folder, which it knows by name and not by content.

    It has to be entered before `datasets` is imported.
    """
    if not hub_dir:
        yield
        return
    with TemporaryDirectory(prefix="rabbit-ko-datasets-") as folder:
        os.environ["HF_DATASETS_CACHE"] = folder
        yield


@cache
def _task_manager() -> Any:
    """Index the harness's tasks and this project's, which takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS_FOLDER))


def _simple_evaluate(evaluation: Evaluation, suite: Suite) -> dict[str, Any] | None:
    from lm_eval import simple_evaluate

    # What it warns of is in the settings and the notes.
    for name in ("lm_eval", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    lm, in_prompt = evaluation.model_for(suite), evaluation.in_prompt(suite)
    encode_apart(lm, in_prompt)
    try:
        # Inside the folder the harness takes `skt/kobest_v1` for a local path.
        with chdir(evaluation.hub_dir or "."):
            if suite.prepare:
                suite.prepare(evaluation.limit)
            output: dict[str, Any] | None = simple_evaluate(
                model=lm,
                tasks=list(suite.tasks),
                num_fewshot=suite.shots,
                limit=evaluation.limit,
                apply_chat_template=in_prompt,
                fewshot_as_multiturn=in_prompt,
                task_manager=_task_manager(),
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
    for task, figures in output["results"].items():
        tasks = output["group_subtasks"][task] if task in output.get("groups", {}) else [task]
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
                    items=sum(output["n-samples"][name]["effective"] for name in tasks),
                )


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
    # A server that renders the prompt alone knows how long it gets.
    is_chat = evaluation.answerer.server and suite.generates and evaluation.in_prompt(suite)
    if not is_chat and (truncated := count_truncated(evaluation.model_for(suite), samples)):
        notes.append(f"{truncated} prompts were longer than the model's context and lost their beginning")
    return notes
