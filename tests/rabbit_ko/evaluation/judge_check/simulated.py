"""Judges whose faults are known, as pure functions: what they say of items, without a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rabbit_ko.evaluation.judge.verdicts import Verdict
from rabbit_ko.evaluation.judge_check.items import Item
from rabbit_ko.evaluation.judge_check.measures import Judged
from rabbit_ko.evaluation.judge_check.probes import PROBES

QUALITY = (8.0, 6.0, 3.5)
# What the rubric wants of every judge.
RIGHT = {"English": -4.0, "mixed": -2.0}


def items_of(number: int, human: Sequence[Sequence[float]] = ()) -> list[Item]:
    """So many items of three answers; human: the scores of people."""
    texts = {"question": "무엇인가요?", "answers": ("가", "나", "다"), "english": "a", "mixed": "a 가"}
    scores = [tuple(row) for row in human] or [()] * number
    return [Item.model_validate({"id": f"{place}", **texts, "human": scores[place]}) for place in range(number)]


ITEMS = items_of(24)


@dataclass(frozen=True)
class Simulated:
    """A judge. noise: the deviation of a verdict. gains: what it gives for a change, on average over questions.

    varies: the deviation of a gain from question to question. first: how often it takes the answer that stands first
    unseen, on average over questions, which differ in it. last: the same of the one that stands last.
    """

    noise: float = 0.7
    gains: Mapping[str, float] = field(default_factory=dict)
    varies: float = 0.8
    first: float = 0.0
    last: float = 0.0

    def says(self, rng: np.random.Generator, items: Sequence[Item] = ITEMS, repeats: int = 3) -> list[Judged]:
        """What it says of items."""
        return [self._of(rng, item, repeats) for item in items]

    def _of(self, rng: np.random.Generator, item: Item, repeats: int) -> Judged:
        worth = np.array(QUALITY[: len(item.answers)]) + rng.normal(0, 0.8)
        scores = worth[:, None] + rng.normal(0, self.noise, (len(worth), repeats))
        gains = {**dict.fromkeys(PROBES, 0.0), **RIGHT, **self.gains}
        noise = dict(zip(gains, rng.normal(0, np.hypot(self.noise, self.varies), len(gains)), strict=True))
        changed = {name: worth[PROBES[name].place_in(item)] + gain + noise[name] for name, gain in gains.items()}
        return Judged(item, scores.tolist(), changed, self._compare(rng, item))

    def _compare(self, rng: np.random.Generator, item: Item) -> list[Verdict]:
        blind = self.first + self.last
        often = rng.beta(4 * blind, 4 * (1 - blind)) if blind else 0.0
        found = []
        for one, other in item.pairs:
            for places in ((one, other), (other, one)):
                is_blind = rng.random() < often
                takes_first = rng.random() * blind < self.first if is_blind else places[0] < places[1]
                found.append(Verdict(places, float(takes_first), ""))
        return found
