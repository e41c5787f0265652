"""Places where a judge fell for something, to look at."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rabbit_ko.evaluation.judge.asking import Replies, verdict_of
from rabbit_ko.evaluation.judge.verdicts import Mode
from rabbit_ko.evaluation.judge_check.asking import Plan, Wanted
from rabbit_ko.evaluation.judge_check.items import Item
from rabbit_ko.evaluation.judge_check.measures import Judged
from rabbit_ko.evaluation.judge_check.probes import PROBES


class Example(NamedTuple):
    """What was asked and said at one place. texts: each with its name."""

    title: str
    id: str
    texts: Sequence[tuple[str, str]]


def examples(plan: Plan, judged: Sequence[Judged], replies: Mapping[Mode, Replies]) -> list[Example]:
    """Return the first two answers whose order decides, and of each change where it brings the most points."""
    return [*_swapped(plan, judged, replies["pairwise"]), *_raised(plan, judged, replies["score"])]


def _swapped(plan: Plan, judged: Sequence[Judged], replies: Replies) -> Iterator[Example]:
    said = {(wanted.item, wanted.places): wanted for wanted in plan.wanted["pairwise"]}
    for number, each in enumerate(judged):
        scores = {verdict.answers: verdict.score for verdict in each.compared}
        for one, other in each.item.pairs:
            first, second = scores[one, other], scores[other, one]
            if first is not None and second is not None and first != 1 - second:
                verdicts = [_verdict(said[number, places], replies) for places in ((one, other), (other, one))]
                answers = [
                    ("answer A, then B", each.item.answers[one]),
                    ("answer B, then A", each.item.answers[other]),
                ]
                titles = ("verdict", "swapped")
                yield _example("the order decides", each.item, [*answers, *zip(titles, verdicts, strict=True)])
                return


def _raised(plan: Plan, judged: Sequence[Judged], replies: Replies) -> Iterator[Example]:
    for name, probe in PROBES.items():
        rises = [
            (each.changed[name] - score, number)
            for number, each in enumerate(judged)
            if probe.kind != "language" and name in each.changed
            if (score := each.score(probe.place_in(each.item))) is not None
        ]
        rise, number = max(rises, default=(0.0, 0))
        if rise > 0:
            item = judged[number].item
            [wanted] = [it for it in plan.wanted["score"] if (it.item, it.what) == (number, name)]
            texts = [("answer", probe.text(item) or ""), ("verdict", _verdict(wanted, replies))]
            yield _example(f"{name}: {rise:+.2f} points", item, texts)


def _verdict(wanted: Wanted, replies: Replies) -> str:
    return verdict_of(replies[wanted.request.key]).text


def _example(title: str, item: Item, texts: Sequence[tuple[str, str]]) -> Example:
    return Example(title, item.id, [("question", item.question), *texts])
