"""The result of an evaluation: one file for each task of a stage, written atomically and last."""

import gzip
import json
import shlex
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from pydantic import BaseModel, Field, ValidationError

from rabbit_ko import storage
from rabbit_ko.documents import first_mistake, read_record, read_text, regular
from rabbit_ko.errors import UserError, reason
from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.models import check_stage
from rabbit_ko.evaluation.stages import Stage, fingerprint
from rabbit_ko.hashing import versions
from rabbit_ko.secrets import redact

Record = TypeVar("Record", bound=BaseModel)
AGAIN = "take it away, and evaluate again"
ANSWERS = "answers.jsonl.gz"
# In settings: the first items of each task, None for all.
LIMIT = "limit"
# Between a judged bench and its judge, in the name of a result.
BY = "@"
PACKAGES = ("lm_eval", "transformers", "peft", "torch", "datasets", "vllm", "openai")


class Score(BaseModel, extra="forbid"):
    """One figure: of a harness task, or of a category of a judged bench. value: None where nothing could be measured.

    stderr: of the mean over items, in the figure's own unit. low, high: its 95 % interval. missing: items without a
    verdict, which are in no mean. tasks: those that a group's figure is of.
    """

    task: str
    metric: str
    value: float | None
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    items: int
    missing: int = 0
    tasks: list[str] = Field(default_factory=list)


class Model(BaseModel, extra="forbid"):
    """The model that answered; at a server, which alone knows what it has, the stage that it is said to serve."""

    path: str
    fingerprint: str
    backend: str
    name: str = ""


class State(StrEnum):
    """Whether a result is of the model that the stage has now; a server only says that it has it."""

    CURRENT = "current"
    STALE = "stale"
    SERVED = "served"
    UNCHECKED = "unchecked"


class Result(BaseModel, extra="forbid"):
    """The result of one task, with all that it depends on. settings: whatever else changes the figures.

    harness: the harness's own output. state: not in the file, since it changes with the stage's model.
    """

    schema_version: int = 1
    recipe: str
    stage: str
    task: str
    model: Model
    settings: dict[str, Any]
    scores: list[Score]
    versions: dict[str, str]
    command: str
    started: str
    seconds: float
    notes: list[str] = Field(default_factory=list)
    harness: dict[str, Any] = Field(default_factory=dict)
    state: State = Field(default=State.UNCHECKED, exclude=True)

    @property
    def bench(self) -> str:
        """The questions that it is of, whoever judged."""
        return str(self.settings.get("bench") or self.task.partition(BY)[0])

    @property
    def is_judged(self) -> bool:
        """Whether a judge gave points; otherwise answers were right or wrong."""
        return "judge" in self.settings

    @property
    def is_contest(self) -> bool:
        """Whether a judge compared the stage's answers with another's, which comes to the share that won."""
        return "against" in self.settings

    @property
    def scale(self) -> float:
        """The highest that its figures can be: a judge's points, or one, where they are shares."""
        return float(self.settings.get("scale", 10)) if self.is_judged and not self.is_contest else 1.0


class Sample(BaseModel):
    """The score of one item, for comparing two stages item by item."""

    task: str
    item: str
    metric: str
    value: float


class Answer(BaseModel):
    """What was asked of one item, as the model got it, what came of it, and what was wanted.

    choices: the given answers with their log-likelihoods, where the likeliest is the model's. read: what each of the
    harness's filters found in the answer. values: by metric, the one that tells right from wrong first.
    """

    task: str
    item: str
    prompt: str
    answer: str
    target: str
    choices: list[tuple[str, float]] = Field(default_factory=list)
    read: dict[str, str] = Field(default_factory=dict)
    values: dict[str, float] = Field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        return next(iter(self.values.values()), 0.0) == 1.0


def model_of(stage: Stage, server: Endpoint | None = None, backend: str = "hf") -> Model:
    """Describe the model that answers for a stage, here or at a server. Raises UserError."""
    check_stage(stage)
    at = {"path": server.url, "name": server.model} if server else {"path": stage.model}
    return Model(**at, fingerprint=fingerprint(stage.model), backend="openai" if server else backend)


def save_result(
    stage: Stage, started: datetime, samples: list[Sample], answers: list[Answer] | None = None, /, **fields: Any
) -> Result:
    """Write the result of a run that began at `started` and ends now, and return it. Raises OSError."""
    result = Result(
        recipe=stage.recipe,
        stage=stage.name,
        versions=versions(PACKAGES),
        command=command(stage.name),
        started=started.isoformat(timespec="seconds"),
        seconds=round((datetime.now(UTC) - started).total_seconds(), 1),
        **fields,
    )
    write_result(stage.results, result, samples, answers)
    return result


def write_result(folder: Path, result: Result, samples: list[Sample], answers: list[Answer] | None = None) -> None:
    """Write a result, its samples and answers first, where it has any of these. Raises OSError."""
    storage.write(str(folder / f"{result.task}.samples.jsonl"), _lines(samples))
    if answers is not None:
        # Shots stand in every prompt, so the file is a tenth of its text.
        storage.write(str(folder / f"{result.task}.{ANSWERS}"), gzip.compress(_lines(answers), mtime=0))
    text = json.dumps(result.model_dump(), ensure_ascii=False, indent=1, default=str)
    storage.write(str(folder / f"{result.task}.json"), text.encode())


def _lines(records: Sequence[BaseModel]) -> bytes:
    return "".join(record.model_dump_json() + "\n" for record in records).encode()


def read_result(folder: Path, task: str) -> Result | None:
    """Read a task's result; None where there is none. Raises UserError where the file is damaged, or of another."""
    file = folder / f"{task}.json"
    if not file.exists():
        return None
    result = read_record(Result, file, AGAIN)
    if (result.stage, result.task) != (folder.name, task):
        raise UserError(f"{file}: is of {result.stage}, {result.task}; {AGAIN}")
    return result


def read_samples(folder: Path, task: str) -> list[Sample]:
    """Read a task's samples; none where there is no such file. Raises UserError where it is damaged."""
    file = folder / f"{task}.samples.jsonl"
    lines = read_text(file, AGAIN).encode().splitlines() if file.exists() else []
    return [validated(Sample, line, str(file)) for line in lines]


def read_answers(folder: Path, task: str) -> Iterator[Answer]:
    """Read a task's answers one by one; none where no such file is. Raises UserError where it is damaged."""
    file = folder / f"{task}.{ANSWERS}"
    if not file.exists():
        return
    try:
        with gzip.open(regular(file)) as lines:
            for line in lines:
                yield validated(Answer, line, str(file))
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file}: damaged: {reason(error)}; {AGAIN}") from None


def finished_result(stage: Stage, task: str, model: Model, settings: dict[str, Any]) -> Result | None:
    """Return a task's result if it was measured on this model with these settings and misses no verdict.

    One of more items than the settings ask for will do.
    """
    result = read_result(stage.results, task)
    if result is None or result.model != model or has_fewer_items(result.settings, settings):
        return None
    if {**result.settings, LIMIT: None} != {**settings, LIMIT: None}:
        return None
    return None if any(score.missing for score in result.scores) else result


def has_fewer_items(settings: dict[str, Any], others: dict[str, Any]) -> bool:
    """Tell whether settings ask for fewer items of each task than others do."""
    limit, other = settings.get(LIMIT), others.get(LIMIT)
    return limit is not None and (other is None or limit < other)


def validated(model: type[Record], value: Any, place: str) -> Record:
    """Return a value, or bytes of JSON, as a model's instance. Raises UserError with the place and first mistake."""
    try:
        return model.model_validate_json(value) if isinstance(value, bytes) else model.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{place}: {first_mistake(error)}") from None


def command(stage: str = "") -> str:
    """Return the `rabbit ...` command that is running, without secrets; with one stage of those that it was given."""
    context = click.get_current_context(silent=True)
    if context is None:
        return ""
    words = context.command_path.split()
    for parameter in context.command.params:
        value = context.params[name := str(parameter.name)]
        if name in ("recipe", "stage") or context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            said = stage if stage and name == "stage" else str(value)
            words += [parameter.opts[0]] if value is True else [parameter.opts[0], said]
    return str(redact(shlex.join(words)))
