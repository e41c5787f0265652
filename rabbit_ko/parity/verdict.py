"""Whether a door has the same model: same, numerically near by bounds for how weights are stored, or different."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from typing import Any

from rabbit_ko.parity.comparison import Compared


class Verdict(StrEnum):
    """What a door is, compared with the reference."""

    SAME = "same"
    NEAR = "numerically near"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Bounds:
    """What may come of how weights are stored and computed with, in natural logarithms.

    mean: of the differences of tokens' log-probabilities. kl: of the divergences. gap: by how much likelier the
    reference may find its own token where a door has another. share: how far from all of the adapter, which is 1.
    """

    mean: float
    kl: float
    gap: float
    share: float


# Above what was measured on a model of 135 million weights and on the small one of `smoke`: docs/serving.md.
BOUNDS = {
    "f32": Bounds(0.001, 1e-4, 0.01, 0.02),
    "f16": Bounds(0.01, 1e-4, 0.1, 0.05),
    "bf16": Bounds(0.06, 1e-3, 0.5, 0.1),
    "q8_0": Bounds(0.06, 0.01, 0.5, 0.1),
    "q6_k": Bounds(0.12, 0.03, 1.5, 0.15),
    "q5_k_m": Bounds(0.3, 0.1, 2.5, 0.2),
    "q4_k_m": Bounds(0.4, 0.15, 5.0, 0.25),
    "fp8": Bounds(0.15, 0.01, 1.0, 0.2),
}
DTYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
# The largest difference between two ways of computing the same in float32.
EXACT = 1e-3
TOLD = {
    "prompt": "the prompt has another text",
    "ids": "the prompt has other ids",
    "count": "the prompt has another number of tokens",
    "end": "an answer that has ended is said to be cut",
}
# How far, in nats, the adapter has to move log-probabilities for its share to be seen: a root of a mean square.
LEAST_SHIFT = 0.005


@dataclass(frozen=True)
class Outcome:
    """What a door is, why, and the answer that shows it. quant: how its weights are stored."""

    door: str
    quant: str
    answers: Sequence[Compared]
    verdict: Verdict = Verdict.SAME
    why: str = ""
    shown: Compared | None = None

    def told(self, name: str) -> tuple[int, int]:
        """Return of how many answers one of TOLD is the same, and of how many the door tells it."""
        values = [value for answer in self.answers if (value := getattr(answer, name)) is not None]
        return sum(values), len(values)

    @property
    def same(self) -> int:
        """How many answers have the same tokens and the same end."""
        return sum(answer.first is None for answer in self.answers)

    @property
    def mean(self) -> float | None:
        """The mean difference of a token's log-probability; None where the door tells none."""
        return fmean(found) if (found := [*self._each("differences")]) else None

    @property
    def largest(self) -> float | None:
        """The largest difference of a token's log-probability."""
        return max(self._each("differences"), default=None)

    @property
    def kl(self) -> float | None:
        """The mean divergence, in nats a token."""
        return fmean(found) if (found := [*self._each("divergences")]) else None

    @property
    def share(self) -> float | None:
        """How much of the stage's adapter is in the door's model: 0 without it, 1 with it, 2 where it counts double.

        It is the slope, through zero, of how far the door's log-probabilities are from those without the adapter over
        how far the stage's are: noise that has nothing to do with the adapter does not change it. None where the
        stage has no adapter, the door tells no probabilities, or the adapter moves too little to be seen.
        """
        shifts: list[tuple[float, float]] = [*self._each("shifts")]
        squares = sum(ours * ours for ours, _ in shifts)
        if not shifts or squares < len(shifts) * LEAST_SHIFT**2:
            return None
        return sum(ours * theirs for ours, theirs in shifts) / squares

    def _each(self, name: str) -> Iterator[Any]:
        for answer in self.answers:
            yield from getattr(answer, name)


def judge(door: str, quant: str, answers: Sequence[Compared], reference: str = "f32") -> Outcome:
    """Return what a door is: by its prompts first, then by its tokens, then by its probabilities.

    reference: how the reference computes; the wider bounds of the two hold.
    """
    outcome, bounds = Outcome(door, quant, answers), max(BOUNDS[quant], BOUNDS[reference], key=lambda each: each.mean)
    if found := _why_different(outcome, bounds):
        why, shown = found
        return replace(outcome, verdict=Verdict.DIFFERENT, why=why, shown=shown)
    first = next((answer for answer in answers if answer.first is not None), None)
    if first or not (outcome.largest or 0.0) <= EXACT:  # so that what is no number is not the same
        return replace(outcome, verdict=Verdict.NEAR, shown=first)
    return outcome


def _why_different(outcome: Outcome, bounds: Bounds) -> tuple[str, Compared] | None:
    answers = outcome.answers
    for name, why in TOLD.items():
        if found := next((answer for answer in answers if getattr(answer, name) is False), None):
            return why, found
    if found := next((answer for answer in answers if not answer.gap <= bounds.gap), None):
        gap = f"a token is likelier by {found.gap:.3f} here, and {bounds.gap} is the bound"
        return gap if math.isfinite(found.gap) else "an answer goes another way", found
    worst = max(answers, key=lambda answer: max(answer.differences, default=0.0))
    if outcome.share is not None and not abs(outcome.share - 1) <= bounds.share:
        return f"{outcome.share:.2f} of the adapter is in it, and 1 ± {bounds.share} is the bound", worst
    if outcome.mean is not None and not outcome.mean <= bounds.mean:
        return f"log-probabilities differ by {outcome.mean:.4f} on average, and {bounds.mean} is the bound", worst
    if outcome.kl is not None and not outcome.kl <= bounds.kl:
        return f"probabilities diverge by {outcome.kl:.5f} nats a token, and {bounds.kl} is the bound", worst
    return None
