"""Run a stage through suites of lm-evaluation-harness, and write a result for each."""

import logging
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from traceback import clear_frames
from typing import Any

import xxhash

from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.harness.backends import CHAT, count_truncated, encode_as_trained, load_model
from rabbit_ko.evaluation.harness.figures import answers_of, samples_of, scores_of
from rabbit_ko.evaluation.harness.suites import TASKS_FOLDER, Suite
from rabbit_ko.evaluation.records import Model, Result, save_result
from rabbit_ko.evaluation.stages import Stage


@dataclass
class Evaluation:
    """What is asked for. hub_dir: a folder laid out like the hub, in its place.

    limit: the first items of each task, 0 for all; by default as many as the suite's group asks for.
    template: whether to ask in the stage's prompt; by default only where answers are generated.
    """

    stage: Stage
    limit: int | None = None
    template: bool | None = None
    hub_dir: str = ""
    backend: str = "hf"
    server: Endpoint | None = None
    batch_size: str = "auto"

    def in_prompt(self, suite: Suite) -> bool:
        """Tell whether a suite's questions are asked in the stage's prompt."""
        return suite.generates if self.template is None else self.template

    def limit_of(self, suite: Suite) -> int | None:
        """Return how many items of each of a suite's tasks are asked; None: all."""
        return suite.limit if self.limit is None else self.limit or None

    def settings(self, suite: Suite) -> dict[str, Any]:
        """Return what a suite's figures depend on besides the model. Raises UserError where its data are missing."""
        data, in_prompt = data_fingerprint(self.hub_dir, suite.data), self.in_prompt(suite)
        settings = {"shots": suite.shots, "limit": self.limit_of(suite), "template": in_prompt, "data": data}
        settings["encoding"] = "as in training" if in_prompt else "as in the harness"
        return {**settings, "prompt": self.stage.prompt} if in_prompt else settings

    def model_for(self, suite: Suite) -> Any:
        """Return the harness's model for a suite. Raises UserError where it cannot be loaded."""
        kind = self.backend
        if self.server:
            kind = CHAT if suite.generates and self.in_prompt(suite) else "local-completions"
        return load_model(self.stage, kind, self.server, self.batch_size)


def evaluate(evaluation: Evaluation, suite: Suite, model: Model) -> Result | None:
    """Run a suite and write its result; None in all processes but the first of several. Raises UserError, OSError."""
    started, settings = datetime.now(UTC), evaluation.settings(suite)
    lm = evaluation.model_for(suite)
    try:
        output = _simple_evaluate(evaluation, suite, lm)
    except UserError:
        raise
    except Exception as error:
        # The harness, its tasks and the servers raise whatever they like. What a server said is the context of the
        # harness's own stumbling over it. A bar that is left in a frame would be drawn when the program ends.
        clear_frames(error.__traceback__)
        cause = (error.__context__ or error) if isinstance(error, UnboundLocalError) else error
        raise UserError(f"{suite.name}: {reason(cause)}; finished tasks are kept") from error
    if output is None:
        return None
    samples = output.pop("samples")
    # A server that renders the prompt alone knows how long it gets.
    is_chat = evaluation.server and suite.generates and evaluation.in_prompt(suite)
    truncated = 0 if is_chat else count_truncated(lm, samples)
    note = f"{truncated} prompts were longer than the model's context and lost their beginning"
    fields = {"model": model, "settings": settings, "notes": [note] if truncated else [], "harness": output}
    kept = list(samples_of(samples, suite))
    scores, answers = scores_of(output, suite, kept), answers_of(samples, suite)
    return save_result(evaluation.stage, started, kept, answers, task=suite.name, scores=scores, **fields)


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


@cache
def _task_manager() -> Any:
    """Index the harness's tasks and this project's, which takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS_FOLDER))


def _simple_evaluate(evaluation: Evaluation, suite: Suite, lm: Any) -> dict[str, Any] | None:
    from lm_eval import simple_evaluate

    # What it warns of is in the settings and the notes.
    for name in ("lm_eval", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    in_prompt = evaluation.in_prompt(suite)
    encode_as_trained(lm, evaluation.stage, in_prompt)
    # Inside the folder the harness takes `skt/kobest_v1` for a local path.
    with chdir(evaluation.hub_dir or "."):
        if suite.prepare:
            suite.prepare()
        output: dict[str, Any] | None = simple_evaluate(
            model=lm,
            tasks=list(suite.tasks),
            num_fewshot=suite.shots,
            limit=evaluation.limit_of(suite),
            apply_chat_template=in_prompt,
            fewshot_as_multiturn=in_prompt and not suite.one_turn,
            task_manager=_task_manager(),
        )
    return output
