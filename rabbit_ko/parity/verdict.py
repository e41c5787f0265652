"""Whether a door has the same model: same, numerically near by bounds for how weights are stored, or different."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean

from rabbit_ko.parity.comparison import Compared


class Verdict(StrEnum):
    """What a door is, compared with the reference."""

    SAME = "same"
    NEAR = "numerically near"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Bounds:
    """What may come of how weights are stored and computed with, in natural logarithms.

    mean: of the differences of tokens' log-probabilities. gap: by how much likelier the reference may find its own
    token where a door has another.
    """

    mean: float
    gap: float


# About twice what was measured on a model of 135 million weights and on the small one of `smoke`: docs/serving.md.
BOUNDS = {
    "f32": Bounds(0.001, 0.01),
    "f16": Bounds(0.01, 0.1),
    "bf16": Bounds(0.06, 0.5),
    "q8_0": Bounds(0.06, 0.5),
    "q6_k": Bounds(0.12, 1.5),
    "q5_k_m": Bounds(0.2, 2.0),
    "q4_k_m": Bounds(0.4, 3.0),
    "fp8": Bounds(0.15, 1.0),
}
DTYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
# The largest difference between two ways of computing the same in float32.
EXACT = 1e-3
PROMPT = {
    "prompt": "the prompt has another text",
    "ids": "the prompt has other ids",
    "count": "the prompt has another number of tokens",
}


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
        """Return of how many answers `prompt`, `ids` or `count` is the same, and of how many the door tells it."""
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

    def _each(self, name: str) -> Iterator[float]:
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
    for name, why in PROMPT.items():
        if found := next((answer for answer in answers if getattr(answer, name) is False), None):
            return why, found
    if found := next((answer for answer in answers if not answer.gap <= bounds.gap), None):
        gap = f"a token is likelier by {found.gap:.3f} here, and {bounds.gap} is the bound"
        return gap if math.isfinite(found.gap) else "an answer goes another way", found
    if outcome.mean is not None and not outcome.mean <= bounds.mean:
        why = f"log-probabilities differ by {outcome.mean:.4f} on average, and {bounds.mean} is the bound"
        return why, max(answers, key=lambda answer: max(answer.differences, default=0.0))
    return None
