"""Which two answers to a prompt are a pair: the widest apart of those that may be one, or the reason why none is."""

from collections.abc import Callable, Iterable, Sequence
from itertools import permutations

from rabbit_ko.pairs.config import PairingConfig
from rabbit_ko.pairs.records import Answer, Judgement

# The places of the chosen and the rejected one among the answers to a prompt.
Places = tuple[int, int]
Rule = tuple[str, Callable[[int, int], bool]]

PAIR = "pair"
REFUSED, UNFIT, SAME, CUT, LENGTH = "refused", "unfit answers", "same answers", "cut answers", "length"
UNREADABLE, DISAGREEMENT, TIE, MARGIN = "unreadable", "disagreement", "tie", "margin"


def possible_pairs(answers: Sequence[Answer], unfit: Sequence[str], config: PairingConfig) -> list[Places] | str:
    """Return the pairs that the answers allow, whatever their scores, or why there is none.

    unfit: for each answer the reason why no row may hold it, or nothing.
    """
    lengths = [len(answer.text) for answer in answers]
    rules: list[Rule] = [
        (REFUSED, lambda one, other: True),
        (UNFIT, lambda one, other: not (unfit[one] or unfit[other])),
        (SAME, lambda one, other: answers[one].text != answers[other].text),
        (CUT, lambda one, _: answers[one].ended),
        (LENGTH, lambda one, other: max(lengths[one], lengths[other])
            <= config.max_length_ratio * min(lengths[one], lengths[other])),
    ]  # fmt: skip
    return _sift(permutations(range(len(answers)), 2), rules)


def choose_pair(
    possible: Sequence[Places], answers: Sequence[Answer], judgement: Judgement, config: PairingConfig
) -> Places | str:
    """Return the pair with the widest margin, of several that with the most alike lengths, or why there is none."""

    def margin(one: int, other: int) -> float:
        better, worse = judgement.scores[one], judgement.scores[other]
        assert better is not None
        assert worse is not None
        return better - worse

    rules: list[Rule] = [
        (UNREADABLE, lambda *pair: all(judgement.scores[place] is not None for place in pair)),
        (DISAGREEMENT, lambda *pair: (min(pair), max(pair)) not in judgement.disagreed),
        (TIE, lambda *pair: margin(*pair) > 0),
        (MARGIN, lambda *pair: margin(*pair) >= config.margin),
    ]
    found = _sift(possible, rules)
    if isinstance(found, str):
        return found

    def rank(pair: Places) -> tuple[float, int, list[str]]:
        texts = [answers[place].text for place in pair]
        return -margin(*pair), abs(len(texts[0]) - len(texts[1])), texts

    return min(found, key=rank)


def _sift(pairs: Iterable[Places], rules: Sequence[Rule]) -> list[Places] | str:
    """Return the pairs that all rules let pass, or the name of the rule that stopped the last one."""
    left = list(pairs)
    for outcome, holds in rules:
        left = [pair for pair in left if holds(*pair)]
        if not left:
            return outcome
    return left
