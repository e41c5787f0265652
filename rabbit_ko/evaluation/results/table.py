"""One table of all stages: a row for each figure, a column for each stage."""

from dataclasses import dataclass, field
from typing import Literal

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.results.compare import Comparison, Method, NotCompared, Reason, compare
from rabbit_ko.evaluation.results.figures import KNOWN_SUITES, LOGICKOR, Figure, StageResult, State, rank, read_stage
from rabbit_ko.evaluation.stages import CONFIGS, STAGES, results_folder

Key = tuple[str, str, str]
# The method, or the reason with the settings that differ.
Outcome = tuple[Method | Reason, tuple[str, ...]]


@dataclass(frozen=True)
class Row:
    """A figure of every stage that has it. metric: empty where the suite was not run at all."""

    suite: str
    task: str
    metric: str
    figures: dict[str, Figure] = field(default_factory=dict)
    comparisons: dict[str, Comparison | NotCompared] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.task} {self.metric}".strip()

    @property
    def is_logickor(self) -> bool:
        return self.suite.startswith(LOGICKOR)

    def change(self, stage: str) -> Literal["up", "down"] | None:
        """Return the direction of a difference that exceeds chance."""
        comparison = self.comparisons.get(stage)
        if not isinstance(comparison, Comparison) or not comparison.exceeds_chance:
            return None
        return "up" if comparison.difference > 0 else "down"

    def outcome(self, stage: str) -> Outcome | None:
        """Return how the stage was compared with the one before, or why not; None where nothing can be."""
        comparison = self.comparisons.get(stage)
        if isinstance(comparison, Comparison):
            return comparison.method, ()
        return (comparison.reason, comparison.settings) if comparison else None


@dataclass(frozen=True)
class Table:
    """All figures of a recipe, and the results that they come from, by stage."""

    recipe: str
    stages: tuple[str, ...]
    rows: list[Row]
    results: dict[str, list[StageResult]]

    def in_state(self, state: State) -> list[StageResult]:
        """Return the results in a state, of all stages."""
        return [result for results in self.results.values() for result in results if result.state is state]

    def outcomes(self) -> dict[Outcome, dict[str, list[str]]]:
        """Return what was compared how, or why not: names of rows, or of whole suites, by outcome and stage."""
        found: dict[Outcome, dict[str, list[str]]] = {}
        for stage in self.stages:
            for suite in dict.fromkeys(row.suite for row in self.rows):
                rows = [row for row in self.rows if row.suite == suite]
                outcomes = {row.name: outcome for row in rows if (outcome := row.outcome(stage))}
                if len(outcomes) > 1 and len(set(outcomes.values())) == 1:
                    outcomes = {suite: next(iter(outcomes.values()))}
                for name, outcome in outcomes.items():
                    found.setdefault(outcome, {}).setdefault(stage, []).append(name)
        return found


def make_table(recipe: str, stages: tuple[str, ...] = STAGES) -> Table:
    """Read all results of a recipe's stages and compare each stage with the one before.

    Raises UserError where there is no such recipe, or a file is damaged.
    """
    if not (CONFIGS / recipe).is_dir() and not results_folder(recipe).is_dir():
        raise UserError(f"{CONFIGS / recipe}: no such recipe")
    results = {stage: read_stage(recipe, stage) for stage in stages}
    figures = {stage: _figures(read) for stage, read in results.items()}
    keys = sorted({key: None for by_key in figures.values() for key in by_key}, key=lambda key: rank(key[0]))
    rows = [_row(recipe, key, figures) for key in keys]
    missing = [Row(suite, suite, "") for suite in KNOWN_SUITES if suite not in {row.suite for row in rows}]
    return Table(recipe, stages, sorted([*rows, *missing], key=lambda row: rank(row.suite)), results)


def stage_before(recipe: str, stage: str) -> str | None:
    """Return the stage that a stage was trained on; some recipes have no SFT."""
    if stage == "dpo" and (CONFIGS / recipe / "sft.yaml").exists():
        return "sft"
    return None if stage == "base" else "base"


def _figures(results: list[StageResult]) -> dict[Key, Figure]:
    return {
        (origin.result.task, score.task, score.metric): Figure(score, origin)
        for origin in results
        for score in origin.result.scores
    }


def _row(recipe: str, key: Key, figures: dict[str, dict[Key, Figure]]) -> Row:
    there = {stage: by_key[key] for stage, by_key in figures.items() if key in by_key}
    comparisons = {}
    for stage, figure in there.items():
        before = stage_before(recipe, stage)
        if before in there and (comparison := compare(there[before], figure)):
            comparisons[stage] = comparison
    return Row(*key, there, comparisons)
