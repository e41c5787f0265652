"""The verdicts that a judge is asked for, and what it said, item by item."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

from rabbit_ko.evaluation.endpoint import Endpoint
from rabbit_ko.evaluation.judge.asking import (
    ATTEMPTS,
    Replies,
    Request,
    Statement,
    Work,
    ask_all,
    known_replies,
    still_missing,
    verdict_of,
    work_of,
)
from rabbit_ko.evaluation.judge.rubric import check_rubric
from rabbit_ko.evaluation.judge.verdicts import Mode, Verdict
from rabbit_ko.evaluation.judge.wanted import How, requests_for
from rabbit_ko.evaluation.judge_check.items import Item
from rabbit_ko.evaluation.judge_check.measures import Judged
from rabbit_ko.evaluation.judge_check.probes import PROBES

MODES: tuple[Mode, ...] = ("score", "pairwise")


class Wanted(NamedTuple):
    """A verdict that is wanted. item: its number. what: a probe's name, or empty. places: of the answers shown."""

    item: int
    what: str
    places: tuple[int, ...]
    request: Request


class Plan(NamedTuple):
    """All verdicts that are wanted of a judge, and the folder of the journals that hold what it said."""

    judge: Endpoint
    items: Sequence[Item]
    how: How
    wanted: dict[Mode, list[Wanted]]
    folder: Path

    def journal(self, mode: Mode) -> Path:
        """Return the journal of the verdicts on one answer, or on two."""
        return self.folder / {"score": "scores.jsonl", "pairwise": "comparisons.jsonl"}[mode]

    def missing(self, mode: Mode) -> list[Request]:
        """Return the requests that have no verdict yet."""
        requests = [wanted.request for wanted in self.wanted[mode]]
        return still_missing(requests, known_replies(mode, requests, self.journal(mode), self.how.lowest))

    @property
    def work(self) -> Work:
        """What is still to be asked."""
        return sum((work_of(self.missing(mode)) for mode in MODES), Work())


class _Shown(NamedTuple):
    """What a judge is shown at a time. texts: one answer, or two; times: how often."""

    what: str
    places: tuple[int, ...]
    texts: tuple[str, ...]
    times: int = 1


def make_plan(judge: Endpoint, items: Sequence[Item], how: How, folder: Path) -> Plan:
    """Return what is wanted: so many scores of each answer, one of each change, and each two in both orders.

    Raises UserError where the rubric is not there, or tells nothing in one of the modes.
    """
    for mode in MODES:
        check_rubric(how.rubric, mode)
    plan = Plan(judge, items, how, {mode: [] for mode in MODES}, folder)
    for number, item in enumerate(items):
        for shown in _shown(item, how.verdicts):
            mode = "pairwise" if len(shown.texts) > 1 else "score"
            about = {"id": item.id, "what": shown.what, "answers": shown.places}
            for request in requests_for(how, judge, mode, item.asked, shown.texts, about, shown.times):
                plan.wanted[mode].append(Wanted(number, shown.what, shown.places, request))
    return plan


def _shown(item: Item, repeats: int) -> Iterator[_Shown]:
    for place, text in enumerate(item.answers):
        yield _Shown("", (place,), (text,), repeats)
    for name, probe in PROBES.items():
        if changed := probe.text(item):
            yield _Shown(name, (probe.place_in(item),), (changed,))
    for one, other in permutations(range(len(item.answers)), 2):
        yield _Shown("", (one, other), (item.answers[one], item.answers[other]))


def ask(plan: Plan, most: int | None) -> dict[Mode, Replies]:
    """Have the judge answer what is missing; each reply is in a journal before the next step.

    most: requests that may be sent, as many as are missing or more. Raises UserError where the server fails or needs
    more, and for such a judge as `ask_all` does.
    """
    # What more than one attempt takes of scores must not be missing from comparisons.
    kept = {"score": len(plan.missing("pairwise")), "pairwise": 0}
    replies = {}
    for mode in MODES:
        requests = [wanted.request for wanted in plan.wanted[mode]]
        allowed = None if most is None else most - kept[mode]
        about = (plan.journal(mode), plan.how.settings, allowed, plan.how.lowest)
        replies[mode], sent = ask_all(mode, plan.judge, requests, *about)
        most = None if most is None else most - sent
    return replies


def judged(plan: Plan, replies: Mapping[Mode, Replies]) -> list[Judged]:
    """Return what the judge said of each item; what cannot be read is in no score."""
    answers = [[list[float]() for _ in item.answers] for item in plan.items]
    changed = [dict[str, float]() for _ in plan.items]
    compared = [list[Verdict]() for _ in plan.items]
    for wanted in plan.wanted["score"]:
        score = verdict_of(replies["score"][wanted.request.key]).score
        if score is not None and wanted.what:
            changed[wanted.item][wanted.what] = score
        elif score is not None:
            answers[wanted.item][wanted.places[0]].append(score)
    for wanted in plan.wanted["pairwise"]:
        said = verdict_of(replies["pairwise"][wanted.request.key])
        compared[wanted.item].append(Verdict(wanted.places, said.score, said.text))
    return [Judged(*each) for each in zip(plan.items, answers, changed, compared, strict=True)]


class Read(NamedTuple):
    """What became of the verdicts that were wanted. late: read, but not at the first attempt."""

    wanted: int
    read: int
    late: int
    unreadable: int
    refused: int


def counted(plan: Plan, replies: Mapping[Mode, Replies]) -> dict[Mode, Read]:
    """Return what became of the verdicts on one answer, and on two."""
    return {mode: _counted([replies[mode][it.request.key] for it in plan.wanted[mode]]) for mode in MODES}


def _counted(replies: Sequence[Sequence[Statement]]) -> Read:
    kinds = defaultdict[str, int](int)
    for some in replies:
        verdict = verdict_of(some)
        kinds["refused" if verdict.refused else "unreadable" if verdict.score is None else "read"] += 1
        kinds["late"] += verdict.score is not None and some[0].score is None
    return Read(len(replies), kinds["read"], kinds["late"], kinds["unreadable"], kinds["refused"])


def announced(work: Work) -> str:
    """Return in words what is asked before the first request is sent."""
    more = f"or more, as a verdict that cannot be read is asked for {ATTEMPTS} times at most"
    return f"{work.requests:,} requests, of about {work.tokens:,} tokens, {more}"
