"""The figures of a recipe's stages, each with the result that it comes from."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import isclose
from pathlib import Path
from statistics import fmean

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.records import Result, Sample, Score, read_result, read_samples
from rabbit_ko.evaluation.stages import find_stage, fingerprint, results_folder

LOGICKOR = "logickor"
KNOWN_SUITES = (*SUITES, LOGICKOR)


class State(StrEnum):
    """Whether a result is of the model that the stage has now; a server only says that it has it."""

    CURRENT = "current"
    STALE = "stale"
    SERVED = "served"
    UNCHECKED = "unchecked"


@dataclass(frozen=True)
class StageResult:
    """One result file of a stage, with its items."""

    result: Result
    samples: list[Sample]
    state: State


@dataclass(frozen=True)
class Figure:
    """A figure of one stage."""

    score: Score
    origin: StageResult = field(repr=False)

    @property
    def result(self) -> Result:
        return self.origin.result

    @property
    def is_stale(self) -> bool:
        return self.origin.state is State.STALE

    @cached_property
    def items(self) -> dict[str, float]:
        """What each item came to; nothing where that was not kept, or does not add up to the figure."""
        score, samples = self.score, self.origin.samples
        own = [sample for sample in samples if (sample.task, sample.metric) == (score.task, score.metric)]
        # The figure of a group of tasks is the mean over the items of all of them.
        values = _by_item(own or [sample for sample in samples if sample.metric == score.metric])
        if not values or score.value is None or not isclose(fmean(values.values()), score.value, abs_tol=1e-6):
            return {}
        return values


def read_stage(recipe: str, stage: str) -> list[StageResult]:
    """Read a stage's results, in the order of the model cards, then by name.

    Raises UserError where a file is damaged.
    """
    folder = results_folder(recipe) / stage
    names = sorted((file.stem for file in folder.glob("*.json")), key=rank)
    results = [result for name in names if (result := read_result(folder, name))]
    now = _fingerprint_now(recipe, stage) if results else None
    return [StageResult(result, _samples(folder, result.task), _state(result, now)) for result in results]


def rank(suite: str) -> tuple[int, str]:
    """Return the place of a suite in the order of the model cards; suites that they do not have come last."""
    known = LOGICKOR if suite.startswith(LOGICKOR) else suite
    return (KNOWN_SUITES.index(known) if known in KNOWN_SUITES else len(KNOWN_SUITES), suite)


def _samples(folder: Path, task: str) -> list[Sample]:
    try:
        return read_samples(folder, task)
    except ValueError:
        raise UserError(f"{folder / task}.samples.jsonl: damaged; move it away and run the task again") from None


def _fingerprint_now(recipe: str, stage: str) -> str | None:
    """Return the fingerprint of a stage's model; None where the model is not on this machine."""
    try:
        found = fingerprint(find_stage(recipe, stage).model)
    except UserError:
        return None
    return None if found.endswith("@unknown") else found


def _state(result: Result, now: str | None) -> State:
    if now is None:
        return State.UNCHECKED
    if result.model.fingerprint != now:
        return State.STALE
    return State.SERVED if result.model.backend == "openai" else State.CURRENT


def _by_item(samples: list[Sample]) -> dict[str, float]:
    """Name the samples; an item that a data set holds twice is told apart by its turn."""
    turns: Counter[tuple[str, str]] = Counter()
    values = {}
    for sample in samples:
        turns[sample.task, sample.item] += 1
        values[f"{sample.task} {sample.item} {turns[sample.task, sample.item]}"] = sample.value
    return values
