"""The figures of a recipe's stages, each with the result that it comes from."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import isclose
from statistics import fmean

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness.suites import SUITES
from rabbit_ko.evaluation.records import Result, Sample, Score, read_result, read_samples
from rabbit_ko.evaluation.stages import find_stage, fingerprint
from rabbit_ko.recipes import Recipe

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
    """One result file of a stage, with its samples."""

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
        """The value of each item; none where they were not kept, or do not add up to the figure."""
        same_metric = [sample for sample in self.origin.samples if sample.metric == self.score.metric]
        # The figure of a group of tasks is the mean over the items of all of them.
        samples = [sample for sample in same_metric if sample.task == self.score.task] or same_metric
        # An item that a dataset holds twice is told apart by its turn.
        turns: Counter[str] = Counter()
        values = {}
        for sample in samples:
            name = f"{sample.task} {sample.item}"
            turns[name] += 1
            values[f"{name} {turns[name]}"] = sample.value
        if not values or self.score.value is None:
            return {}
        return values if isclose(fmean(values.values()), self.score.value, abs_tol=1e-6) else {}


def read_stage(recipe: str, stage: str) -> list[StageResult]:
    """Read a stage's results, in the order of the model cards, then by name.

    Raises UserError where a file is damaged.
    """
    folder = Recipe(recipe).results / stage
    names = sorted((file.stem for file in folder.glob("*.json")), key=rank)
    results = [result for name in names if (result := read_result(folder, name))]
    current = _current_fingerprint(recipe, stage) if results else None
    return [StageResult(result, read_samples(folder, result.task), _state(result, current)) for result in results]


def rank(suite: str) -> tuple[int, str]:
    """Return the place of a suite in the order of the model cards; suites that they do not have come last."""
    known = LOGICKOR if suite.startswith(LOGICKOR) else suite
    return (KNOWN_SUITES.index(known) if known in KNOWN_SUITES else len(KNOWN_SUITES), suite)


def _current_fingerprint(recipe: str, stage: str) -> str | None:
    """Return the fingerprint of a stage's model; None where the model is not on this machine."""
    try:
        found = fingerprint(find_stage(recipe, stage).model)
    except UserError:
        return None
    return None if found.endswith("@unknown") else found


def _state(result: Result, current: str | None) -> State:
    if current is None:
        return State.UNCHECKED
    if result.model.fingerprint != current:
        return State.STALE
    return State.SERVED if result.model.backend == "openai" else State.CURRENT
