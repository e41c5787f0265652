"""What a judge's last line says, where that is clear beyond doubt, and the scores that come of such verdicts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal

from rabbit_ko.normal_form import normalize

Mode = Literal["score", "pairwise"]
Language = Literal["ko", "en"]
HIGHEST = 10.0

# Full-width letters, digits and colons are the same; superscripts, which NFKC would turn into digits, are not.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
# What judges mark a line up with: before it, at its colon, and after it.
_BEFORE, _COLON, _AFTER = r"[\s*_`#-]*+", r"[\s*_`]*+:[\s*_`\[(]*+", r"[\s*_`\]).]*+"
_OF_TEN = r"\s*+점?+(?:\s*+/\s*+10(?:\.0)?+점?+)?+"
_SCORE = re.compile(
    rf"{_BEFORE}(?:최종 |final )?(?:점수|score){_COLON}([0-9]++(?:\.[0-9]++)?+){_OF_TEN}{_AFTER}", re.IGNORECASE
)
_BETTER = re.compile(
    rf"{_BEFORE}(?:더 나은 답변|better(?: answer)?){_COLON}(?:답변 |answer )?(?:(a)|(b)|무승부|tie){_AFTER}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verdict:
    """One statement of a judge, in its words.

    answers: the places of the answers that it is on: one, or two in the order in which the judge saw them. score: of
    one, the higher the better; of two, 1 where the first is better, 0 the second, 0.5 neither; None where it cannot
    be read.
    """

    answers: tuple[int, ...]
    score: float | None
    text: str


@dataclass(frozen=True)
class Judgement:
    """What a judge holds of the answers to one prompt.

    scores: of each, the higher the better; None where there is none that can be read. disagreed: pairs of places, the
    lower first, that cannot be read in both orders, or came out otherwise in one of them, or than their scores.
    """

    scores: tuple[float | None, ...]
    verdicts: tuple[Verdict, ...] = ()
    disagreed: frozenset[tuple[int, int]] = frozenset()


def read_verdict(mode: Mode, text: str, lowest: float = 1.0) -> float | None:
    """Return the score of a verdict, from `lowest` to 10, or which of two answers is better.

    1: the first. 0: the second. 0.5: neither. None where the last line is no such verdict and nothing else, or stands
    in thoughts that were cut.
    """
    lines = normalize("NFC", text).translate(_FULL_WIDTH).strip().splitlines()
    if not lines or (lines[0].startswith("<think>") and "</think>" not in text):
        return None
    if mode == "pairwise":
        found = _BETTER.fullmatch(lines[-1])
        return {1: 1.0, 2: 0.0, None: 0.5}[found.lastindex] if found else None
    found = _SCORE.fullmatch(lines[-1])
    score = float(found[1]) if found else None
    return score if score is not None and lowest <= score <= HIGHEST else None


def scored(mode: Mode, texts: Sequence[str], verdicts: Sequence[Verdict]) -> Judgement:
    """Return the scores of answers with these texts: means of verdicts, or shares of wins over the other answers."""
    if mode == "pairwise":
        return _compared(texts, verdicts)
    return Judgement(tuple(_mean(verdicts, (place,)) for place in range(len(texts))), tuple(verdicts))


def _compared(texts: Sequence[str], verdicts: Sequence[Verdict]) -> Judgement:
    """Return the shares of wins; a tie is half of one, and so is what cannot be read or came out otherwise."""
    shares: list[list[float]] = [[] for _ in texts]
    beaten, disagreed = list[tuple[int, int]](), set[tuple[int, int]]()
    readable = set[int]()
    for one, other in combinations(range(len(texts)), 2):
        first, second = (0.5, 0.5) if texts[one] == texts[other] else orders(verdicts, one, other)
        won = first if first is not None and first == second else 0.5
        shares[one].append(won)
        shares[other].append(1 - won)
        if first is not None and second is not None:
            readable |= {one, other}
            beaten += {1.0: [(other, one)], 0.0: [(one, other)]}.get(won, [])
        if first is None or first != second:
            disagreed.add((one, other))
    scores = [fmean(share) if place in readable else None for place, share in enumerate(shares)]
    # One may win more often than another that beats it.
    disagreed |= {_sorted(pair) for pair in beaten if (scores[pair[0]] or 0.0) > (scores[pair[1]] or 0.0)}
    return Judgement(tuple(scores), tuple(verdicts), frozenset(disagreed))


def _sorted(pair: tuple[int, int]) -> tuple[int, int]:
    return min(pair), max(pair)


def orders(verdicts: Sequence[Verdict], one: int, other: int) -> tuple[float | None, float | None]:
    """Return what the first of two answers won, 1, 0.5 or 0, where the judge saw it first, and where it saw it last.

    None where no verdict in that order can be read.
    """
    first, last = _mean(verdicts, (one, other)), _mean(verdicts, (other, one))
    return _outcome(first), None if last is None else 1 - (_outcome(last) or 0.0)


def _mean(verdicts: Iterable[Verdict], places: tuple[int, ...]) -> float | None:
    scores = [verdict.score for verdict in verdicts if verdict.answers == places and verdict.score is not None]
    return fmean(scores) if scores else None


def _outcome(mean: float | None) -> float | None:
    return mean if mean is None or mean == 0.5 else float(mean > 0.5)
