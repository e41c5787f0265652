"""What a judge says, where that is clear beyond doubt, and the scores that come of such verdicts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal

from rabbit_ko.evaluation.judge.forms import Mode as Mode
from rabbit_ko.evaluation.judge.forms import is_asked_for, said_in, said_last
from rabbit_ko.evaluation.judge.own_lines import announced, lines_of, own_lines

Language = Literal["ko", "en"]


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


def read_verdict(mode: Mode, text: str, lowest: float = 1.0, judged: str = "") -> float | None:
    """Return the score of a verdict, from `lowest` to 10, or which of two answers is better.

    1: the first. 0: the second. 0.5: neither. The verdict is an object in JSON or the last line, with nothing behind
    it but a closing form. None where there is none, where another line says another one, and where it may be quoted.
    judged: what the judge has read. A verdict that stands there, too, is the judge's own only where it is the whole
    reply.
    """
    if not (lines := own_lines(text)):
        return None
    said, before = said_last(mode, lines, lowest)
    if not before:
        return said
    is_quoted = announced(before) or is_asked_for(mode, lines_of(judged), said, lowest)
    return said if not is_quoted and said_in(mode, before, lowest) <= {said} else None


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
