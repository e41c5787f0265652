"""One table of all stages: a row for each figure, a column for each stage, and how stages were compared."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, groupby

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.harness.suites import CARDS, SUITES
from rabbit_ko.evaluation.records import Result, State, read_result, read_samples
from rabbit_ko.evaluation.results.compare import Figure, How, compare, figure_of
from rabbit_ko.evaluation.stages import BASE, find_stage, fingerprint
from rabbit_ko.methods import stage_method, stages_in
from rabbit_ko.recipes import Recipe

LOGICKOR = "logickor"
KNOWN_SUITES = (*SUITES, LOGICKOR)  # in the order of the model cards
# Those of the model cards, which are named where they are missing.
EXPECTED = (*CARDS, LOGICKOR)


@dataclass(frozen=True)
class Row:
    """A figure of every stage that has it. metric: empty where the suite was not run at all."""

    suite: str
    task: str
    metric: str
    figures: dict[str, Figure] = field(default_factory=dict)

    @property
    def result(self) -> Result | None:
        """One of the results that it is of; None where nothing was measured."""
        return next((figure.result for figure in self.figures.values()), None)

    @property
    def is_judged(self) -> bool:
        return self.result is not None and self.result.is_judged

    @property
    def bench(self) -> str:
        """The suite without its judge."""
        return self.result.bench if self.result else self.suite

    @property
    def scale(self) -> float:
        """The highest that the figure can be."""
        return self.result.scale if self.result else 1.0


@dataclass(frozen=True)
class Part:
    """So many figures of a suite, of all that it has."""

    suite: str
    count: int
    of: int


@dataclass(frozen=True)
class Table:
    """All figures of a recipe, and the results that they come from, by stage."""

    recipe: str
    stages: tuple[str, ...]
    rows: list[Row]
    results: dict[str, list[Result]]

    @property
    def measured(self) -> list[str]:
        """The stages that have results."""
        return [stage for stage, results in self.results.items() if results]

    def in_state(self, state: str) -> list[Result]:
        """Return the results in a State, of all stages."""
        return [result for result in chain.from_iterable(self.results.values()) if result.state == state]

    def outcomes(self) -> dict[tuple[How, tuple[str, ...]], dict[str, list[Part]]]:
        """Return what was compared how, or why not: so much of which suites, by outcome and stage."""
        found: dict[tuple[How, tuple[str, ...]], dict[str, list[Part]]] = {}
        for stage in self.stages:
            for suite, rows in groupby(self.rows, lambda row: row.suite):
                made = [figure.comparison for row in rows if (figure := row.figures.get(stage))]
                outcomes = Counter((comparison.how, comparison.settings) for comparison in made if comparison)
                for outcome, count in outcomes.items():
                    found.setdefault(outcome, {}).setdefault(stage, []).append(Part(suite, count, outcomes.total()))
        return found


def make_table(recipe: str, stages: tuple[str, ...] = ()) -> Table:
    """Read all results of a recipe's stages and compare each stage with the one that it was trained on.

    stages: by default the base, and each stage that the recipe has a YAML or results of. One whose start is not among
    them is compared with the first. Raises UserError.
    """
    place = Recipe(recipe)
    measured = [folder.name for folder in place.results.glob("*/")]
    known = stages_in([*measured, *(method.name for method in place.methods)])
    stages = stages or (BASE, *(method.name for method in known))
    for stage in stages:
        if stage != BASE:
            stage_method(stage, BASE)
    results = {stage: read_results(recipe, stage) for stage in stages}
    rows: dict[tuple[str, str, str], Row] = {}
    for result in chain.from_iterable(results.values()):
        samples = read_samples(place.results / result.stage, result.task)
        for score in result.scores:
            key = result.task, score.task, score.metric
            rows.setdefault(key, Row(*key)).figures[result.stage] = figure_of(score, result, samples)
    for row in rows.values():
        for stage, figure in row.figures.items():
            start = BASE if stage == BASE else place.parent(stage) or BASE
            before = start if start in stages else stages[0]
            if stage not in (BASE, before) and before in row.figures:
                figure.comparison = compare(row.figures[before], figure)
    missing = [Row(suite, suite, "") for suite in EXPECTED if suite not in {row.bench for row in rows.values()}]
    return Table(recipe, stages, sorted([*rows.values(), *missing], key=lambda row: rank(row.suite)), results)


def read_results(recipe: str, stage: str) -> list[Result]:
    """Read a stage's results with their state, in the order of the model cards. Raises UserError."""
    folder = Recipe(recipe).results / stage
    names = sorted((file.stem for file in folder.glob("*.json")), key=rank)
    results = [result for name in names if (result := read_result(folder, name))]
    current = _current_fingerprint(recipe, stage) if results else None
    for result in results if current else []:
        here = State.SERVED if result.model.backend == "openai" else State.CURRENT
        result.state = here if result.model.fingerprint == current else State.STALE
    return results


def rank(suite: str) -> tuple[int, str]:
    """Return the place of a suite in the order of the model cards; suites that they do not have come last."""
    known = LOGICKOR if suite.startswith(LOGICKOR) else suite
    return (KNOWN_SUITES.index(known) if known in KNOWN_SUITES else len(KNOWN_SUITES), suite)


def _current_fingerprint(recipe: str, stage: str) -> str | None:
    try:
        found = fingerprint(find_stage(recipe, stage).model)
    except UserError:
        return None
    return None if found.endswith("@unknown") else found
