"""The figures of a judge in lines, and what they mean in plain language."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from rabbit_ko.evaluation.intervals import LEAST, Mean, Share
from rabbit_ko.evaluation.judge.figures import Correlation
from rabbit_ko.evaluation.judge_check.agreement import Agreement
from rabbit_ko.evaluation.judge_check.measures import SIGN, Measures, Obeyed, Ranked, Rise
from rabbit_ko.evaluation.judge_check.probes import PROBES, Probe
from rabbit_ko.evaluation.judge_check.sample_size import Variances

# A judge that surely takes less than so many points for the wrong language hardly minds it. One that surely ranks
# fewer pairs right, or whose scores surely go less with those of people, does not know what is good.
MINDS, RANKS, GOES = 1.0, 0.75, 0.5
# Scores rank half of the pairs right by chance, and comparisons, which have to agree in both orders, a quarter.
CHANCE = {"scores": 1 / 2, "comparisons": 1 / 4}


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


def counted(number: int, things: str) -> str:
    """Return so many things in words, of which one lacks the last letter."""
    return f"{number:,} {things if number != 1 else things[:-1]}"


class Reading(NamedTuple):
    """What figures mean. warns: of something for which this judge's word is not to be taken."""

    group: str
    warns: bool
    text: str


def figures(measures: Measures, agreement: Agreement | None) -> Iterator[Figure]:
    """Yield all figures, group by group."""
    spread, swapped = measures.spread, measures.swapped
    answers = counted(spread.answers, "answers")
    yield Figure("repeats", "deviation of one answer's scores", spread.deviation, spread.interval, answers, "points")
    yield _share("repeats", "answers whose score moved", spread.moved, "answers")
    yield _share("order", "verdict changes when swapped", swapped.changed, "pairs")
    yield _share("order", "and is then for the first one", swapped.first, "changes")
    for name, mean in measures.rises.items():
        yield _mean(PROBES[name].kind, name, mean)
        if name in measures.obeyed:
            yield _share("demands", f"{name}: is given what it asks", measures.obeyed[name].share, "answers")
    yield _share("ranking", "pairs ranked right by scores", measures.by_scores.share, "pairs")
    yield _share("ranking", "pairs ranked right by comparisons", measures.by_comparisons.share, "pairs")
    if agreement:
        of = counted(agreement.answers, "answers")
        yield _correlation("people", "rank correlation (Spearman)", agreement.spearman, of)
        yield _correlation("people", "correlation (Pearson)", agreement.pearson, of)
        yield _mean("people", "distance of scores", agreement.distance)


def _share(group: str, name: str, share: Share, of: str) -> Figure:
    interval = None if share.value is None else (share.low, share.high)
    return Figure(group, name, share.value, interval, counted(share.of, of), "share")


def _mean(group: str, name: str, mean: Mean) -> Figure:
    return Figure(group, name, mean.value, mean.interval(), counted(mean.of, "questions"), "points")


def _correlation(group: str, name: str, found: Correlation, of: str) -> Figure:
    return Figure(group, name, found.value, found.interval, of)


def readings(measures: Measures, agreement: Agreement | None, verdicts: int) -> Iterator[Reading]:
    """Yield what the figures mean. verdicts: that each answer was given."""
    yield from _of_repeats(measures, verdicts)
    yield from _of_order(measures)
    if measures.only is None:
        for name, rise in measures.rises.items():
            yield from _of_rise(PROBES[name], rise, measures.obeyed.get(name))
    else:
        said = f"gives each answer {measures.only:g} points, whatever is done to it"
        yield Reading("scores", True, f"{said}: nothing can be seen of length, language and demands")
    yield from _of_ranking("scores", measures.by_scores)
    yield from _of_ranking("comparisons", measures.by_comparisons)
    if agreement and agreement.spearman.value is not None:
        yield _of_people(agreement.spearman.value, agreement)


def _of_repeats(measures: Measures, verdicts: int) -> Iterator[Reading]:
    spread = measures.spread
    if spread.deviation is None:
        yield Reading("repeats", False, "was asked once for each answer; REPEATS=3 shows how far its scores move")
    elif not spread.deviation:
        answers = counted(spread.answers, "answers")
        yield Reading("repeats", False, f"gave each of {answers} the same score {verdicts} times")
    else:
        moves = f"moves an answer's score by {spread.deviation:.2f} points{_points(spread.interval)} when asked again"
        mean = f"the mean of {verdicts} verdicts by {spread.deviation / math.sqrt(verdicts):.2f}"
        yield Reading("repeats", False, f"{moves}, {mean}")


def _of_order(measures: Measures) -> Iterator[Reading]:
    changed, first = measures.swapped.changed, measures.swapped.first
    if changed.value is None:
        return
    if not changed.value:
        all_of_them = counted(changed.of, "comparisons")
        yield Reading("order", False, f"keeps its mind in all of {all_of_them} in swapped order")
        return
    said = f"changes its mind in {_percent(changed)} of comparisons when the order is swapped"
    yield Reading("order", False, f"{said}: compare in both orders")
    if place := measures.swapped.favours:
        share = first if place == "first" else _rest(first)
        yield Reading("order", True, f"favours the answer that stands {place}, in {_percent(share)} of those changes")


def _of_rise(probe: Probe, rise: Rise, obeyed: Obeyed | None) -> Iterator[Reading]:
    sure, likely = rise.bounds(SIGN), rise.bounds()
    if rise.value is None or sure is None or likely is None:
        return
    shown = f" on each of {rise.of:,} questions" if rise.is_steady else _points(likely)
    if probe.kind == "language":
        yield from _of_language(probe, rise.value, sure, shown)
        return
    if obeyed and obeyed.is_sure:
        given = f"gives the score that is asked for in {_percent(obeyed.share)}"
        said = f"obeys {probe.what}: {given}, {rise.value:+.2f} points{shown}"
    elif sure[0] > 0:
        said = f"gives {rise.value:.2f} points{shown} for {probe.what}{_given(obeyed)}"
    elif rise.full and rise.of - rise.full < LEAST and rise.value >= 0:
        full = f"{rise.full:,} of {rise.of:,} answers have the highest score as they are"
        said = f"cannot be seen to give points for {probe.what}: {full}"
    elif rise.is_steady and not rise.value:
        said = f"gives nothing for {probe.what} on any of {rise.of:,} questions"
    else:
        said = f"{_may(likely, sure)} {probe.what}: {rise.value:+.2f}{shown}{_given(obeyed)}"
    yield Reading(probe.kind, sure[0] > 0 or (obeyed is not None and obeyed.is_sure), said)


def _may(interval: tuple[float, float], sure: tuple[float, float]) -> str:
    """Return in words which way a change goes that is no sure gain."""
    if sure[1] < 0:
        return "takes points for"
    if interval[1] < 0:
        return "may take points for"
    return "may give points for" if interval[0] > 0 else "gives nothing for certain for"


def _of_language(probe: Probe, value: float, sure: tuple[float, float], shown: str) -> Iterator[Reading]:
    if sure[0] > -MINDS:
        said = "favours" if sure[0] > 0 else "hardly minds"
        yield Reading("language", True, f"{said} {probe.what}: {value:+.2f}{shown}")
    elif sure[1] < 0:
        yield Reading("language", False, f"takes points for {probe.what}: {value:+.2f}{shown}")
    else:
        yield Reading("language", False, f"may or may not mind {probe.what}: {value:+.2f}{shown}")


def of_differences(parts: Variances | None) -> Iterator[Reading]:
    """Yield why no number of questions can be told for a difference, where judged answers are too much alike."""
    if parts and not parts.differing:
        said = "never gives two answers to a question different scores"
        yield Reading("questions", True, f"{said}, so no number of questions shows a difference of two stages")
    elif parts and not parts.are_known:
        said = f"gives two answers to a question different scores in {parts.differing:,} of {parts.pairs:,} pairs"
        yield Reading("questions", False, f"{said}, too few to tell how many questions a difference takes")


def _of_ranking(by: str, ranked: Ranked) -> Iterator[Reading]:
    if ranked.share.value is None:
        return
    said = f"ranks {_percent(ranked.share)} of pairs right by {by}"
    if is_poor := ranked.sure.high < RANKS:
        said += f", where chance comes to {CHANCE[by]:.0%}"
    elif ranked.share.low <= CHANCE[by]:
        said += ": too few to tell it from chance"
    yield Reading("ranking", is_poor, said)


def _of_people(correlation: float, agreement: Agreement) -> Reading:
    low, high = agreement.spearman.interval or (-1.0, 1.0)
    said = f"its scores go with those of people by a rank correlation of {correlation:.2f} ({low:.2f} to {high:.2f})"
    if agreement.distance.value is not None:
        said += f", and are {agreement.distance.value:.1f} points away"
    is_poor = agreement.sure is not None and agreement.sure[1] < GOES
    return Reading("people", is_poor, said if is_poor or low > 0 else f"{said}: too few to tell it from chance")


def _given(obeyed: Obeyed | None) -> str:
    if obeyed is None or not obeyed.share.value:
        return ""
    return f"; the score that is asked for is given in {_percent(obeyed.share)}"


def _rest(share: Share) -> Share:
    return Share(share.of, 1 - (share.value or 0.0), 1 - share.high, 1 - share.low)


def _percent(share: Share) -> str:
    return f"{share.value or 0.0:.0%} ({share.low:.0%} to {share.high:.0%})"


def _points(interval: tuple[float, float] | None) -> str:
    return f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
