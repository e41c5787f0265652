"""The figures of a judge in lines, and what they mean in plain language."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from rabbit_ko.evaluation.intervals import Mean, Share
from rabbit_ko.evaluation.judge.figures import Correlation
from rabbit_ko.evaluation.judge_check.agreement import Agreement
from rabbit_ko.evaluation.judge_check.measures import SIGN, Measures
from rabbit_ko.evaluation.judge_check.probes import PROBES, Probe

# A judge that surely takes less than so many points for the wrong language hardly minds it.
MINDS = 1.0


class Figure(NamedTuple):
    """A line of the report. of: what, such as `72 answers`. unit: `points`, `share` or empty."""

    group: str
    name: str
    value: float | None
    interval: tuple[float, float] | None
    of: str
    unit: str = ""

    @property
    def said(self) -> tuple[str, str]:
        """The value and its interval in words; `-` for what could not be measured."""
        if self.value is None:
            return "-", "-"
        is_change = self.group in ("length", "language", "demands")
        form = "{:.0%}" if self.unit == "share" else "{:+.2f}" if is_change else "{:.2f}"
        return form.format(self.value), " to ".join(map(form.format, self.interval)) if self.interval else "-"


class Reading(NamedTuple):
    """What figures mean. warns: of something for which this judge's word is not to be taken."""

    group: str
    warns: bool
    text: str


def figures(measures: Measures, agreement: Agreement | None) -> Iterator[Figure]:
    """Yield all figures, group by group."""
    spread, swapped = measures.spread, measures.swapped
    answers = f"{spread.answers:,} answers"
    yield Figure("repeats", "deviation of one answer's scores", spread.deviation, spread.interval, answers, "points")
    yield _share("repeats", "answers whose score moved", spread.moved, "answers")
    yield _share("order", "verdict changes when swapped", swapped.changed, "pairs")
    yield _share("order", "and is then for the first one", swapped.first, "changes")
    for name, mean in measures.rises.items():
        yield _mean(PROBES[name].kind, name, mean)
        if name in measures.obeyed:
            yield _share("demands", f"{name}: is given what it asks", measures.obeyed[name], "answers")
    yield _share("ranking", "pairs ranked right by scores", measures.by_scores, "pairs")
    yield _share("ranking", "pairs ranked right by comparisons", measures.by_comparisons, "pairs")
    if agreement:
        of = f"{agreement.answers:,} answers"
        yield _correlation("people", "rank correlation (Spearman)", agreement.spearman, of)
        yield _correlation("people", "correlation (Pearson)", agreement.pearson, of)
        yield _mean("people", "distance of scores", agreement.distance)


def _share(group: str, name: str, share: Share, of: str) -> Figure:
    interval = None if share.value is None else (share.low, share.high)
    return Figure(group, name, share.value, interval, f"{share.of:,} {of}", "share")


def _mean(group: str, name: str, mean: Mean) -> Figure:
    return Figure(group, name, mean.value, mean.interval(), f"{mean.of:,} questions", "points")


def _correlation(group: str, name: str, found: Correlation, of: str) -> Figure:
    return Figure(group, name, found.value, found.interval, of)


def readings(measures: Measures, agreement: Agreement | None, verdicts: int) -> Iterator[Reading]:
    """Yield what the figures mean. verdicts: that each answer was given."""
    yield from _of_repeats(measures, verdicts)
    yield from _of_order(measures)
    for name, mean in measures.rises.items():
        yield from _of_rise(PROBES[name], mean, measures.obeyed.get(name))
    yield from _of_ranking("scores", measures.by_scores)
    yield from _of_ranking("comparisons", measures.by_comparisons)
    if agreement and agreement.spearman.value is not None:
        low, high = agreement.spearman.interval or (-1.0, 1.0)
        rank = f"{agreement.spearman.value:.2f} ({low:.2f} to {high:.2f})"
        said = f"its scores go with those of people by a rank correlation of {rank}"
        away = "" if agreement.distance.value is None else f", and are {agreement.distance.value:.1f} points away"
        yield Reading("people", low <= 0, said + away)


def _of_repeats(measures: Measures, verdicts: int) -> Iterator[Reading]:
    spread = measures.spread
    if spread.deviation is None:
        yield Reading("repeats", False, "was asked once for each answer; REPEATS=3 shows how far its scores move")
    elif not spread.deviation:
        yield Reading("repeats", False, f"gave each of {spread.answers:,} answers the same score {verdicts} times")
    else:
        moves = f"moves an answer's score by {spread.deviation:.2f} points{_points(spread.interval)} when asked again"
        mean = f"the mean of {verdicts} verdicts by {spread.deviation / math.sqrt(verdicts):.2f}"
        yield Reading("repeats", False, f"{moves}, {mean}")


def _of_order(measures: Measures) -> Iterator[Reading]:
    changed, first = measures.swapped.changed, measures.swapped.first
    if changed.value is None:
        return
    if not changed.value:
        yield Reading("order", False, f"keeps its mind in all of {changed.of:,} comparisons in swapped order")
        return
    said = f"changes its mind in {_percent(changed)} of comparisons when the order is swapped"
    yield Reading("order", False, f"{said}: compare in both orders")
    if place := measures.swapped.favours:
        share = first if place == "first" else _rest(first)
        yield Reading("order", True, f"favours the answer that stands {place}, in {_percent(share)} of those changes")


def _of_rise(probe: Probe, mean: Mean, obeyed: Share | None) -> Iterator[Reading]:
    sure, shown = mean.interval(SIGN), _points(mean.interval())
    if mean.value is None or sure is None:
        return
    if probe.kind == "language":
        yield from _of_language(probe, mean.value, sure, shown)
    elif sure[0] > 0:
        yield Reading(probe.kind, True, f"gives {mean.value:.2f} points{shown} for {probe.what}{_given(obeyed)}")
    elif sure[1] < 0:
        yield Reading(probe.kind, False, f"takes points for {probe.what}: {mean.value:+.2f}{shown}")
    else:
        low, high = mean.interval() or sure
        said = (
            "may give points for"
            if low > 0
            else "may take points for"
            if high < 0
            else "gives nothing for certain for"
        )
        yield Reading(probe.kind, False, f"{said} {probe.what}: {mean.value:+.2f}{shown}{_given(obeyed)}")


def _of_language(probe: Probe, value: float, sure: tuple[float, float], shown: str) -> Iterator[Reading]:
    if sure[0] > -MINDS:
        said = "favours" if sure[0] > 0 else "hardly minds"
        yield Reading("language", True, f"{said} {probe.what}: {value:+.2f}{shown}")
    elif sure[1] < 0:
        yield Reading("language", False, f"takes points for {probe.what}: {value:+.2f}{shown}")
    else:
        yield Reading("language", False, f"may or may not mind {probe.what}: {value:+.2f}{shown}")


def _of_ranking(by: str, share: Share) -> Iterator[Reading]:
    if share.value is not None:
        said = f"ranks {_percent(share)} of pairs right by {by}"
        no_better = share.low <= 0.5
        yield Reading("ranking", no_better, f"{said}, which chance could do as well" if no_better else said)


def _given(obeyed: Share | None) -> str:
    if obeyed is None or not obeyed.value:
        return ""
    return f"; the score that is asked for is given in {_percent(obeyed)}"


def _rest(share: Share) -> Share:
    return Share(share.of, 1 - (share.value or 0.0), 1 - share.high, 1 - share.low)


def _percent(share: Share) -> str:
    return f"{share.value or 0.0:.0%} ({share.low:.0%} to {share.high:.0%})"


def _points(interval: tuple[float, float] | None) -> str:
    return f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
