"""The gate: whether a stage is worse than another by more than a margin in any suite, is not, or nobody can tell yet.

A suite counts by its main figure, over the items that both stages kept. Of all suites together, a claim that one is
worse by more than the margin is false at most once in twenty gates, and so is a claim that one is not.

Items that a stage misses, such as answers without a verdict, are in no figure, and nobody knows whether they are like
the others. So a suite is not worse only where it is not with the worst that they can be, too: nothing of the scale
for the candidate, all of it for the baseline. That it is worse is said of the items that both have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

import numpy as np
from rich.table import Table

from rabbit_ko.errors import UnknownName, UserError, suggest
from rabbit_ko.evaluation.harness.suites import GROUPS, SUITES
from rabbit_ko.evaluation.judge.benches import BENCHES
from rabbit_ko.evaluation.records import Result, Sample, State, read_samples
from rabbit_ko.evaluation.results.compare import by_item, differing_settings
from rabbit_ko.evaluation.results.noninferiority import Array, holm, interval, items_needed, p_above, p_below
from rabbit_ko.evaluation.results.table import read_results
from rabbit_ko.recipes import Recipe

ERROR = 0.05
MOST_NEEDED = 1_000_000


class Verdict(StrEnum):
    """What is said of a suite."""

    WORSE = "worse"
    NOT_WORSE = "not worse"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """What the gate says: a suite is worse, none is, or of some it is not known."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "not enough items to tell"


@dataclass(frozen=True)
class Pairs:
    """The outcomes of both stages on the same items of a suite. scale: the highest that there can be.

    only_baseline, only_candidate: outcomes of items that the other stage misses. neither: how many both miss.
    """

    suite: str
    metric: str
    scale: float
    baseline: Sequence[float]
    candidate: Sequence[float]
    only_baseline: Sequence[float] = ()
    only_candidate: Sequence[float] = ()
    neither: int = 0

    @property
    def differences(self) -> Array:
        """The candidate's outcomes less the baseline's, in shares of the scale."""
        found: Array = (np.asarray(self.candidate) - np.asarray(self.baseline)) / self.scale
        return np.round(found, 9)

    @property
    def worst(self) -> Array:
        """The differences of all items, with the worst for the candidate of those that a stage misses."""
        lost, gained = (np.asarray(found) / self.scale for found in (self.only_baseline, self.only_candidate))
        return np.concatenate([self.differences, np.round([*-lost, *gained - 1, *[-1.0] * self.neither], 9)])


@dataclass(frozen=True)
class Compared:
    """A suite at the gate. low, high: bounds of its difference that hold for all suites at once, in 9 of 10 gates.

    needed: about how many items would tell, where these do not. missing: items that a stage misses, and of which.
    """

    suite: str
    metric: str
    items: int
    baseline: float
    candidate: float
    difference: float
    low: float
    high: float
    p_worse: float
    p_not_worse: float
    verdict: Verdict
    needed: int | None
    missing: int = 0
    missing_baseline: int = 0
    missing_candidate: int = 0


def pair(recipe: str, candidate: str, baseline: str, suites: Sequence[str] = ()) -> tuple[list[Pairs], list[str]]:
    """Pair the items of two stages in each suite; also return the suites that only one has. Raises UserError.

    suites: results and groups of suites, by default what both have; UnknownName where there can be none of a name. Of
    these a result that is missing, of an earlier model, without its items, or of other settings is refused.
    """
    stages = {stage: _by_suite(recipe, stage) for stage in (baseline, candidate)}
    known = list(dict.fromkeys(suite for results in stages.values() for suite in results))
    for name in suites:
        if name not in (names := dict.fromkeys([*SUITES, *GROUPS, *BENCHES, *known])):
            raise UnknownName(f"TASKS={name}: there is no such suite, group or result{suggest(name, names)}")
    if not known:
        raise UserError(
            f"{Recipe(recipe).results}: no results; run `make eval RECIPE={recipe} STAGE={baseline},{candidate}`"
        )
    shared = [suite for suite in known if all(suite in results for results in stages.values())]
    wanted = list(dict.fromkeys(suite for name in suites for suite in GROUPS.get(name, [name]))) or shared or known
    for stage, results in stages.items():
        if lacking := [suite for suite in wanted if suite not in results]:
            raise UserError(
                f"{Recipe(recipe).results / stage}: no result of {', '.join(lacking)}; measure it, or name what both "
                f"stages have in TASKS"
            )
    pairs = [_pair(*(results[suite] for results in stages.values())) for suite in wanted]
    return pairs, [] if suites else [suite for suite in known if suite not in shared]


def _by_suite(recipe: str, stage: str) -> dict[str, Result]:
    """Return a stage's results; what it won against another stage is a comparison by itself, and no result here."""
    return {result.task: result for result in read_results(recipe, stage) if not result.is_contest}


def _pair(baseline: Result, candidate: Result) -> Pairs:
    places = [
        Recipe(result.recipe).results / result.stage / f"{result.task}.json" for result in (baseline, candidate)
    ]
    for place, result in zip(places, (baseline, candidate), strict=True):
        if result.state is State.STALE:
            raise UserError(f"{place}: of an earlier model of {result.stage}; measure it again: `{result.command}`")
    if differing := differing_settings(baseline, candidate):
        said = f"other {', '.join(differing)} than {places[0]}"
        raise UserError(f"{places[1]}: was measured with {said}; measure both in the same way")
    metric = main_metric(baseline)
    was, now = (by_item(_samples(result, metric)) for result in (baseline, candidate))
    if not (common := sorted(was.keys() & now.keys())):
        raise UserError(f"{places[1]}: has no item of {metric} in common with {places[0]}; measure both again")
    counted = max((it.items for it in (*baseline.scores, *candidate.scores) if it.metric == metric), default=0)
    return Pairs(
        baseline.task,
        metric,
        baseline.scale,
        [was[item] for item in common],
        [now[item] for item in common],
        [was[item] for item in was if item not in now],
        [now[item] for item in now if item not in was],
        max(0, counted - len(was.keys() | now.keys())),
    )


def _samples(result: Result, metric: str) -> list[Sample]:
    folder = Recipe(result.recipe).results / result.stage
    return [sample for sample in read_samples(folder, result.task) if sample.metric == metric]


def main_metric(result: Result) -> str:
    """Return the metric that a suite counts by: its first, and of a judged one the mean over a question's turns."""
    return "overall" if result.is_judged else result.scores[0].metric if result.scores else ""


def p_values(differences: Sequence[Array], margin: float, worst: Sequence[Array] = ()) -> list[tuple[float, float]]:
    """Return for each suite the p-values of being worse by more than the margin, and of not, as one of all suites.

    worst: the differences with the worst of missing items, where there are any, with which it must not be worse, too.
    """
    worse = holm([p_below(found, -margin) for found in differences])
    both = zip(differences, worst or differences, strict=True)
    not_worse = holm([_p_not_worse(found, with_missing, margin) for found, with_missing in both])
    return list(zip(worse, not_worse, strict=True))


def _p_not_worse(found: Array, with_missing: Array, margin: float) -> float:
    p = p_above(found, -margin)
    return p if len(with_missing) == len(found) else max(p, p_above(with_missing, -margin))


def verdict_of(p_worse: float, p_not_worse: float) -> Verdict:
    """Return what p-values say of a suite."""
    return Verdict.WORSE if p_worse <= ERROR else Verdict.NOT_WORSE if p_not_worse <= ERROR else Verdict.UNKNOWN


def compare_all(suites: Sequence[Pairs], margin: float) -> list[Compared]:
    """Compare the stages in each suite, with a margin that is a share of its scale."""
    differences, worst = [pairs.differences for pairs in suites], [pairs.worst for pairs in suites]
    said = p_values(differences, margin, worst)
    return [_compared(*each, margin, ERROR / len(suites)) for each in zip(suites, said, strict=True)]


def _compared(pairs: Pairs, said: tuple[float, float], margin: float, error: float) -> Compared:
    differences, worst, verdict = pairs.differences, pairs.worst, verdict_of(*said)
    n, mean = len(differences), float(np.mean(differences))
    (low, high), lost = interval(differences, error), max(0.0, mean - float(np.mean(worst)))
    # Of stages that are alike; where so many are there already, of stages that differ as much as these.
    distances = (margin - lost, -(mean + margin) if mean < -margin else mean + margin - lost)
    counts = (items_needed(differences, at, error) for at in distances if at > 0)
    needed = next((count for count in counts if count > n), None)
    return Compared(
        pairs.suite,
        pairs.metric,
        n,
        fmean(pairs.baseline),
        fmean(pairs.candidate),
        mean,
        low if len(worst) == n else min(low, interval(worst, error)[0]),
        high,
        *said,
        verdict,
        needed if verdict is Verdict.UNKNOWN else None,
        len(worst) - n,
        len(pairs.only_candidate) + pairs.neither,
        len(pairs.only_baseline) + pairs.neither,
    )


def outcome_of(suites: Sequence[Compared]) -> Outcome:
    """Return what the gate says of suites that were compared."""
    verdicts = {compared.verdict for compared in suites}
    if Verdict.WORSE in verdicts:
        return Outcome.FAIL
    return Outcome.UNKNOWN if Verdict.UNKNOWN in verdicts else Outcome.PASS


def as_table(suites: Sequence[Compared], candidate: str, baseline: str) -> Table:
    """Return the suites as a table of 80 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for title in ("suite", "items", baseline, candidate, "change", "interval", "verdict"):
        is_text = title in ("suite", "verdict")
        table.add_column(title, justify="left" if is_text else "right", no_wrap=title != "suite", overflow="fold")
    for it in suites:
        figures = [f"{value:.4f}" for value in (it.baseline, it.candidate)]
        bounds = f"{it.low:+.3f} to {it.high:+.3f}"
        table.add_row(it.suite, f"{it.items:,}", *figures, f"{it.difference:+.4f}", bounds, _said_of(it))
    return table


def _said_of(suite: Compared) -> str:
    if not suite.needed:
        return suite.verdict.value
    return f"needs {min(suite.needed, MOST_NEEDED):,}{'+' * (suite.needed > MOST_NEEDED)}"


def describe(
    suites: Sequence[Compared], candidate: str, baseline: str, margin: float, unpaired: Sequence[str] = ()
) -> list[str]:
    """Return lines on what the table shows, on what only one stage has or none, and on what the gate says."""
    lines = [
        f"change: {candidate} less {baseline}, in shares of the scale; the intervals hold for all suites at once"
    ]
    if unpaired:
        lines.append(f"not compared, since only one of both stages has it: {', '.join(unpaired)}")
    if missing := [it for it in suites if it.missing]:
        lines += [
            f"missing in {it.suite}: {it.missing:,} of {it.items + it.missing:,} items ({baseline}: "
            f"{it.missing_baseline:,}, {candidate}: {it.missing_candidate:,})"
            for it in missing
        ]
        lines.append("a suite passes only if it would, too, with the worst that its missing items can be")
    if any(it.needed for it in suites):
        lines.append("needs: about so many items tell four times in five, where the stages are alike")
    outcome, whether = outcome_of(suites), f"worse than {baseline} by more than {margin:g}"
    if outcome is Outcome.PASS:
        return [*lines, "", f"pass: {candidate} is not {whether} in any suite"]
    is_fail = outcome is Outcome.FAIL
    named = ", ".join(it.suite for it in suites if it.verdict is (Verdict.WORSE if is_fail else Verdict.UNKNOWN))
    said = f"fail: {candidate} is {whether}" if is_fail else f"{outcome} whether {candidate} is {whether}"
    return [*lines, "", f"{said} in {named}"]
