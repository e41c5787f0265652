"""Which two answers to a prompt are a pair: the widest apart of those that may be one, or the reason why none is."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, permutations
from pathlib import Path
from typing import NamedTuple

from dataset_builders.cleaning import clean
from dataset_builders.rows import Labelled, assistant
from rabbit_ko.evaluation.judge.verdicts import Judgement
from rabbit_ko.pairs.config import PairingConfig
from rabbit_ko.pairs.records import Answer, Case, Judge, Prompt

# The places of the chosen and the rejected one among the answers to a prompt.
Places = tuple[int, int]
Rule = tuple[str, Callable[[int, int], bool]]

PAIR = "pair"
NO_ANSWERS, UNFIT, SAME, CUT, LENGTH = "no answers", "unfit answers", "same answers", "cut answers", "length"
UNREADABLE, DISAGREEMENT, TIE, MARGIN = "unreadable", "disagreement", "tie", "margin"
UNJUDGED = Judgement(())


class Candidate(NamedTuple):
    """An answer with the text that a row would be trained on. unfit: why no row may hold it, or nothing."""

    answer: Answer
    unfit: str


@dataclass(frozen=True)
class Judged:
    """A prompt and what became of it.

    outcome: `pair`, or why there is none. judgement: its places are those of all answers. pair: those of two.
    """

    prompt: Prompt
    outcome: str
    answers: Sequence[Candidate] = ()
    judgement: Judgement = UNJUDGED
    pair: Places | None = None


@dataclass(frozen=True)
class Contest:
    """The answers to a prompt before they are judged. pairs: those that they allow, or none and why."""

    prompt: Prompt
    answers: Sequence[Candidate]
    pairs: Sequence[Places]
    why: str

    @property
    def places(self) -> list[int]:
        """The places of the answers of which a pair can come; no other is judged."""
        return sorted({*chain.from_iterable(self.pairs)})

    @property
    def case(self) -> Case:
        """What a judge is asked."""
        return self.prompt, [self.answers[place].answer for place in self.places]


def hold_contest(prompt: Prompt, answers: Sequence[Answer], config: PairingConfig) -> Contest:
    """Return the contest of the answers to a prompt."""
    candidates = [*map(as_trained, answers)]
    return Contest(prompt, candidates, *possible_pairs(candidates, config))


def judge_contests(
    judge: Judge, contests: Sequence[Contest], config: PairingConfig, journal: Path, most: int | None
) -> list[Judged]:
    """Have answers judged; return what became of each prompt. most: requests that may be sent. Raises UserError."""
    cases = [contest.case for contest in contests if contest.pairs]
    judgements, judged = iter(judge.judge(cases, journal, most) if cases else ()), []
    for each in contests:
        if each.pairs:
            judgement = _spread(next(judgements), each.places, len(each.answers))
            pair, outcome = choose_pair(each.pairs, each.answers, judgement, config)
        else:
            judgement, pair, outcome = _spread(UNJUDGED, (), len(each.answers)), None, each.why
        judged.append(Judged(each.prompt, outcome, each.answers, judgement, pair))
    return judged


def possible_pairs(answers: Sequence[Candidate], config: PairingConfig) -> tuple[list[Places], str]:
    """Return the pairs that the answers allow, whatever their scores, or none and why; no text is in two answers."""
    texts = [answer.text for answer, _ in answers]
    # Of answers with the same text one is looked at, which ended where one did.
    firsts = {
        texts[place]: place for place in sorted(range(len(texts)), key=lambda place: answers[place].answer.ended)
    }
    rules: list[Rule] = [
        (NO_ANSWERS, lambda one, other: True),
        (UNFIT, lambda one, other: not (answers[one].unfit or answers[other].unfit)),
        (SAME, lambda one, other: texts[one] != texts[other]),
        # A row would hold EOS where the model had not ended.
        (CUT, lambda one, other: answers[one].answer.ended and answers[other].answer.ended),
        (LENGTH, lambda *pair: _length_ratio([texts[place] for place in pair]) <= config.max_length_ratio),
    ]
    pairs, why = _sift(permutations(range(len(answers)), 2), rules)
    return [pair for pair in pairs if all(firsts[texts[place]] == place for place in pair)], why


def choose_pair(
    possible: Sequence[Places], answers: Sequence[Candidate], judgement: Judgement, config: PairingConfig
) -> tuple[Places | None, str]:
    """Return the pair with the widest margin, of several that with the most alike lengths, or none and why."""
    scores = judgement.scores

    def margin(one: int, other: int) -> float:
        return (scores[one] or 0.0) - (scores[other] or 0.0)

    def rank(pair: Places) -> tuple[float, float, list[str]]:
        texts = [answers[place].answer.text for place in pair]
        return -margin(*pair), _length_ratio(texts), texts

    rules: list[Rule] = [
        (UNREADABLE, lambda one, other: scores[one] is not None and scores[other] is not None),
        (DISAGREEMENT, lambda one, other: (min(one, other), max(one, other)) not in judgement.disagreed),
        (TIE, lambda one, other: margin(one, other) > 0),
        (MARGIN, lambda one, other: margin(one, other) >= config.margin),
    ]
    pairs, why = _sift(possible, rules)
    return (min(pairs, key=rank), PAIR) if pairs else (None, why)


def as_trained(answer: Answer) -> Candidate:
    """Return an answer with the text that a row would be trained on, and why no row may hold it, or nothing."""
    row = Labelled("", "", [], [assistant(answer.text.strip())], True)
    cleaned = clean(row, "reject")
    assert isinstance(cleaned.row, Labelled)
    text = cleaned.row.completion[0]["content"]
    return Candidate(replace(answer, text=text), cleaned.reason if text else "empty")


def count_answers(judged: Iterable[Judged]) -> dict[str, int]:
    """Return how many answers there are by what they are: ended, cut, or why no row may hold them."""
    answers = chain.from_iterable(each.answers for each in judged)
    counts = Counter(unfit or ("ended" if answer.ended else "cut") for answer, unfit in answers)
    return dict(sorted(counts.items()))


def _length_ratio(texts: Sequence[str]) -> float:
    shorter, longer = sorted(map(len, texts))
    return longer / shorter


def _sift(pairs: Iterable[Places], rules: Sequence[Rule]) -> tuple[list[Places], str]:
    """Return the pairs that all rules let pass; or none, and the name of the rule that stopped the last one."""
    left = list(pairs)
    for name, holds in rules:
        left = [pair for pair in left if holds(*pair)]
        if not left:
            return [], name
    return left, ""


def _spread(judgement: Judgement, places: Sequence[int], answers: int) -> Judgement:
    """Return a judgement of answers at some places as one of so many answers."""
    scores = dict(zip(places, judgement.scores, strict=True))
    return Judgement(
        tuple(scores.get(place) for place in range(answers)),
        tuple(replace(it, answers=tuple(places[place] for place in it.answers)) for it in judgement.verdicts),
        frozenset((places[one], places[other]) for one, other in judgement.disagreed),
    )
