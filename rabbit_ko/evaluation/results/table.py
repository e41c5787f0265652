"""One table of all stages, a row for each figure and a column for each stage, and how its figures are written."""

from dataclasses import dataclass, field

from rabbit_ko.evaluation.records import Result, Score
from rabbit_ko.evaluation.results.compare import ComparedBy, Comparison, Reason, compare
from rabbit_ko.evaluation.results.figures import KNOWN_SUITES, LOGICKOR, Figure, StageResult, State, rank, read_stage
from rabbit_ko.evaluation.stages import BASE
from rabbit_ko.methods import METHODS
from rabbit_ko.recipes import Recipe, find_recipe

UP, DOWN, STALE = "▲", "▼", "†"
# What the harness's settings call data that come from the hub.
FROM_HUB = "hub"

# The method, or the reason with the settings that differ.
Outcome = tuple[ComparedBy | Reason, tuple[str, ...]]


@dataclass(frozen=True)
class Words:
    """How a language says under which conditions something was measured."""

    in_prompt: str
    bare: str
    first: str
    local: str
    judge: str
    missing: str


ENGLISH = Words("the recipe's prompt", "bare text", "first {} items", "local data", "judge {}", "{} missing")
KOREAN = Words("학습 때의 프롬프트", "질문만", "처음 {}문항", "로컬 데이터", "심판 {}", "판정 없음 {}")


@dataclass(frozen=True)
class Row:
    """A figure of every stage that has it. metric: empty where the suite was not run at all."""

    suite: str
    task: str
    metric: str
    figures: dict[str, Figure] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.task} {self.metric}".strip()

    @property
    def is_logickor(self) -> bool:
        return self.suite.startswith(LOGICKOR)


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
                rows = [row for row in self.rows if row.suite == suite and stage in row.comparisons]
                outcomes = {row.name: (row.comparisons[stage].how, row.comparisons[stage].settings) for row in rows}
                if len(outcomes) > 1 and len(set(outcomes.values())) == 1:
                    outcomes = {suite: next(iter(outcomes.values()))}
                for name, outcome in outcomes.items():
                    found.setdefault(outcome, {}).setdefault(stage, []).append(name)
        return found


def make_table(recipe: str, stages: tuple[str, ...] = ()) -> Table:
    """Read all results of a recipe's stages and compare each stage with the one that it was trained on.

    stages: by default the base, and each method that the recipe has a YAML or results of. Raises UserError where
    there is no such recipe, or a file is damaged.
    """
    place = Recipe(recipe)
    if not (place.folder.is_dir() or place.results.is_dir()):
        find_recipe(recipe)
    is_there = {name: place.config(name).exists() or (place.results / name).is_dir() for name in METHODS}
    stages = stages or (BASE, *(name for name in METHODS if is_there[name]))
    results = {stage: read_stage(recipe, stage) for stage in stages}
    rows: dict[tuple[str, str, str], Row] = {}
    for stage, origins in results.items():
        for origin in origins:
            for score in origin.result.scores:
                key = origin.result.task, score.task, score.metric
                rows.setdefault(key, Row(*key)).figures[stage] = Figure(score, origin)
    for row in rows.values():
        for stage, figure in row.figures.items():
            before = None if stage == BASE else place.parent(stage) or BASE
            if before in row.figures and (comparison := compare(row.figures[before], figure)):
                row.comparisons[stage] = comparison
    missing = [Row(suite, suite, "") for suite in KNOWN_SUITES if suite not in {row.suite for row in rows.values()}]
    return Table(recipe, stages, sorted([*rows.values(), *missing], key=lambda row: rank(row.suite)), results)


def number(suite: str, value: float | None) -> str:
    """Write a figure: points of ten of LogicKor, otherwise a share of one; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.2f}" if suite.startswith(LOGICKOR) else f"{value:.4f}"


def measured(suite: str, score: Score, words: Words = ENGLISH) -> str:
    """Write a figure with its standard error, and how many verdicts it misses."""
    error = f" ± {number(suite, score.stderr)}" if score.value is not None and score.stderr is not None else ""
    missing = f" ({words.missing.format(score.missing)})" if score.missing else ""
    return f"{number(suite, score.value)}{error}{missing}"


def mark(row: Row, stage: str) -> str:
    """Return the signs behind a figure: of a difference that exceeds chance, and of a stale figure."""
    comparison, signs = row.comparisons.get(stage), ""
    if comparison and comparison.exceeds_chance:
        signs += f" {UP if comparison.difference > 0 else DOWN}"
    if stage in row.figures and row.figures[stage].is_stale:
        signs += f" {STALE}"
    return signs


def is_limited(result: Result) -> bool:
    """Tell whether only the first items were asked."""
    return result.settings.get("limit") is not None


def is_local(result: Result) -> bool:
    """Tell whether the questions came from a folder on this machine, which may hold anything."""
    return str(result.settings.get("data", FROM_HUB)) != FROM_HUB


def by_stage(names: dict[str, list[str]]) -> str:
    """Write names by stage in one line."""
    return "; ".join(f"{stage}: {', '.join(found)}" for stage, found in names.items())


def settings_of(row: Row, words: Words = ENGLISH) -> str:
    """Describe a row's settings; where the stages' differ, those of each stage."""
    found: dict[str, list[str]] = {}
    for stage, figure in row.figures.items():
        found.setdefault(describe(figure.result, words), []).append(stage)
    if len(found) <= 1:
        return next(iter(found), "")
    return "; ".join(f"{', '.join(stages)}: {text}" for text, stages in found.items())


def describe(result: Result, words: Words = ENGLISH) -> str:
    """Write the settings of a result that every reader asks for."""
    settings = result.settings
    parts = [f"{settings['shots']}-shot"] if "shots" in settings else []
    if "template" in settings:
        parts.append(words.in_prompt if settings["template"] else words.bare)
    if "judge" in settings:
        parts.append(words.judge.format(settings["judge"]))
    if is_limited(result):
        parts.append(words.first.format(settings["limit"]))
    if is_local(result):
        parts.append(words.local)
    return ", ".join(parts)
