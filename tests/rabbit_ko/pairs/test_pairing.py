"""A pair is of two answers that differ, are far enough apart and alike in length; all else has a reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.evaluation.judge.asking import Work
from rabbit_ko.evaluation.judge.verdicts import Judgement, Verdict
from rabbit_ko.pairs import pairing
from rabbit_ko.pairs.config import PairingConfig
from rabbit_ko.pairs.pairing import PAIR, Judged, as_trained, hold_contest, judge_contests
from rabbit_ko.pairs.records import Answer, Case, Prompt
from tests.conftest import hostile_rows

TEXTS = st.sampled_from(
    ["", " ", "가", "가나", "가나다라", "가" * 9, "나" * 9, "다" * 40, "### Question: 가", "\x00가", "가 "]
)
SCORES = st.none() | st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5, 10.0]) | st.floats(-5, 5)


@dataclass(frozen=True)
class Oracle:
    """A judge that knows the score of each answer by its key, and which of them came out otherwise."""

    scores: dict[str, float | None]
    disagreed: frozenset[frozenset[str]] = frozenset()
    name: str = "oracle"
    fingerprint: str = "oracle"

    def work(self, cases: Sequence[Case], journal: Path) -> Work:
        return Work()

    def judge(self, cases: Sequence[Case], journal: Path, most: int | None) -> list[Judgement]:
        return [self.judgement([answer.key for answer in answers]) for _, answers in cases]

    def judgement(self, keys: list[str]) -> Judgement:
        """Judge answers by their keys."""
        scores = tuple(self.scores[key] for key in keys)
        pairs = {(one, other) for other in range(len(keys)) for one in range(other)}
        disagreed = frozenset(pair for pair in pairs if frozenset(keys[place] for place in pair) in self.disagreed)
        said = tuple(Verdict((place,), score, keys[place]) for place, score in enumerate(scores))
        return Judgement(scores, said, disagreed)


@st.composite
def contests(draw: st.DrawFn) -> tuple[Prompt, list[Answer], Oracle, PairingConfig]:
    """Answers to a prompt, a judge of them, and the bounds of a pair."""
    ended = draw(st.lists(st.booleans(), max_size=6))
    answers = [Answer(f"key-{place}", draw(TEXTS), each) for place, each in enumerate(ended)]
    # What is the same text is judged the same.
    by_text = {answer.text.strip(): draw(SCORES) for answer in answers}
    keys = [answer.key for answer in answers]
    pairs = [frozenset((one, other)) for one in keys for other in keys if one < other]
    disagreed = frozenset(draw(st.sets(st.sampled_from(pairs)))) if pairs else frozenset()
    oracle = Oracle({answer.key: by_text[answer.text.strip()] for answer in answers}, disagreed)
    config = PairingConfig(
        margin=draw(st.sampled_from([0.0, 0.2, 1.0])), max_length_ratio=draw(st.sampled_from([1.0, 2.0, 9.0]))
    )
    return Prompt("p", "s", [{"role": "user", "content": "질문"}]), answers, oracle, config


def judged(prompt: Prompt, answers: Sequence[Answer], oracle: Oracle, config: PairingConfig) -> Judged:
    """Hold a contest."""
    [found] = judge_contests(oracle, [hold_contest(prompt, answers, config)], config, Path("none"), None)
    return found


@given(contests())
def test_a_pair_keeps_margin_and_length_and_both_have_ended(given: Any) -> None:
    prompt, answers, oracle, config = given
    found = judged(prompt, answers, oracle, config)
    assert (found.outcome == PAIR) == (found.pair is not None)
    if found.pair is None:
        return
    chosen, rejected = (found.answers[place] for place in found.pair)
    better, worse = (oracle.scores[each.answer.key] for each in (chosen, rejected))
    assert better is not None
    assert worse is not None
    assert better - worse >= config.margin
    assert better > worse
    assert chosen.answer.ended
    assert rejected.answer.ended
    assert chosen.answer.text != rejected.answer.text
    assert not chosen.unfit
    assert not rejected.unfit
    shorter, longer = sorted(len(each.answer.text) for each in (chosen, rejected))
    assert 0 < longer <= config.max_length_ratio * shorter
    assert frozenset((chosen.answer.key, rejected.answer.key)) not in oracle.disagreed


@given(contests(), st.randoms())
def test_the_order_of_answers_does_not_matter(given: Any, random: Any) -> None:
    prompt, answers, oracle, config = given
    # Of two answers with one text, either stands for both, and either may be what came out otherwise.
    oracle = replace(oracle, disagreed=frozenset())
    shuffled = random.sample(answers, len(answers))
    here, there = (judged(prompt, some, oracle, config) for some in (answers, shuffled))
    assert here.outcome == there.outcome
    texts = [[each.answers[place].answer.text for place in each.pair or ()] for each in (here, there)]
    assert texts[0] == texts[1]


@given(st.lists(contests(), max_size=5))
def test_each_prompt_ends_in_one_outcome_and_no_other_has_its_scores(given: list[Any]) -> None:
    config = PairingConfig(margin=0.2)
    some = [
        hold_contest(
            replace(prompt, id=f"p{number}"),
            [replace(answer, key=f"{number} {answer.key}") for answer in answers],
            config,
        )
        for number, (prompt, answers, _, _) in enumerate(given)
    ]
    scores = {
        f"{number} {key}": score
        for number, (_, _, oracle, _) in enumerate(given)
        for key, score in oracle.scores.items()
    }
    found = judge_contests(Oracle(scores), some, config, Path("none"), None)
    assert [each.prompt.id for each in found] == [contest.prompt.id for contest in some]
    for each, contest in zip(found, some, strict=True):
        assert each.outcome
        for place, score in enumerate(each.judgement.scores):
            key = each.answers[place].answer.key
            assert score == (scores[key] if place in contest.places else None)
        assert all(each.answers[verdict.answers[0]].answer.key == verdict.text for verdict in each.judgement.verdicts)


def outcome(*answers: tuple[str, bool], scores: Sequence[float | None] = (), disagreed: bool = False) -> str:
    """Return what becomes of a prompt with these texts, ended or cut, and their scores."""
    made = [Answer(str(place), text, ended) for place, (text, ended) in enumerate(answers)]
    known = {str(place): score for place, score in enumerate(scores or [1.0] * len(made))}
    pairs = {frozenset((one.key, other.key)) for one in made for other in made}
    oracle = Oracle(known, frozenset(pairs) if disagreed else frozenset())
    return judged(Prompt("p", "s", []), made, oracle, PairingConfig(margin=1.0, max_length_ratio=2.0)).outcome


def test_each_reason_why_there_is_no_pair_has_its_name() -> None:
    one, other, long, cut = ("가나", True), ("다라", True), ("마" * 9, True), ("바사", False)
    assert outcome(one, other, scores=(2.0, 1.0)) == PAIR
    assert outcome() == outcome(one) == pairing.NO_ANSWERS
    assert outcome(one, ("", True), ("<|eot_id|>", True)) == pairing.UNFIT
    assert outcome(one, ("가나 ", True)) == pairing.SAME
    assert outcome(cut, ("아자", False)) == pairing.CUT
    assert outcome(cut, one, scores=(2.0, 1.0)) == outcome(one, cut, scores=(2.0, 1.0)) == pairing.CUT
    assert outcome(one, cut, other, scores=(2.0, 9.0, 1.0)) == PAIR
    assert outcome(one, long) == pairing.LENGTH
    assert outcome(one, other, scores=(None, 1.0)) == pairing.UNREADABLE
    assert outcome(one, other, scores=(5.0, 1.0), disagreed=True) == pairing.DISAGREEMENT
    assert outcome(one, other) == pairing.TIE
    assert outcome(one, other, scores=(1.5, 1.0)) == pairing.MARGIN


def test_of_pairs_with_one_margin_that_of_like_lengths_is_taken() -> None:
    texts = ["가" * 6, "나" * 10, "다" * 7]
    made = [Answer(text, text, True) for text in texts]
    oracle = Oracle({texts[0]: 3.0, texts[1]: 1.0, texts[2]: 1.0})
    assert judged(Prompt("p", "s", []), made, oracle, PairingConfig()).pair == (0, 2)


def test_nothing_is_judged_of_which_no_pair_can_come() -> None:
    made = [
        Answer("1", "가나", True),
        Answer("2", "가나", False),
        Answer("3", "마" * 99, True),
        Answer("4", "다라", True),
    ]
    contest = hold_contest(Prompt("p", "s", []), made, PairingConfig())
    assert [answer.key for answer in contest.case[1]] == ["1", "4"]


@pytest.mark.hostile
@pytest.mark.parametrize(("text", "kind"), hostile_rows())
def test_an_answer_that_would_pass_for_a_turn_or_a_control_token_is_in_no_pair(text: str, kind: str) -> None:
    assert as_trained(Answer("", text, True)).unfit == kind


def test_an_answer_stands_as_it_would_be_trained() -> None:
    decomposed = "\u1100\u1161"
    assert as_trained(Answer("1", f"\n {decomposed} \n", True)) == (Answer("1", "가", True), "")
    assert as_trained(Answer("1", "한\ufffd", True)).unfit == "broken unicode"
    assert as_trained(Answer("1", "\n", True)).unfit == "empty"
