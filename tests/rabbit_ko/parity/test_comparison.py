"""One answer against what the reference thinks of it: where they part, by how much, and what is no difference."""

import math
from typing import Any

import pytest

from rabbit_ko.parity.answers import Answered, Token
from rabbit_ko.parity.comparison import Compared, compare, divergence, with_end
from rabbit_ko.parity.conversations import Asked
from rabbit_ko.parity.reference import Place

ASKED = Asked("a", "golden", [{"role": "user", "content": "가"}])
EOS, OTHER_END = 1, 2
ENDS = frozenset({EOS, OTHER_END})
PROMPT = ("<s>가", (0, 7))


def place(chosen: int, logprob: float = -0.1, own: float | None = None) -> Place:
    """What the reference thinks of a place; it agrees where nothing else is said."""
    return Place(chosen, logprob, logprob if own is None else own, ())


def compared(
    tokens: list[int], chosen: list[int], logprob: float | None = None, most: int = 0, **answer: Any
) -> Compared:
    """Compare tokens of a door with those that the reference would choose; 3 nats less for any other."""
    places = [
        place(ours, -0.1, -0.1 if theirs == ours else -3.1) for theirs, ours in zip(tokens, chosen, strict=False)
    ]
    answered = Answered("나", ended=False, **answer)
    said = [Token(token, logprob) for token in tokens]
    return compare(ASKED, PROMPT, "<s>", answered, said, [*places, place(9)], ENDS, most or len(tokens))


def test_the_same_tokens_part_nowhere() -> None:
    found = compared([5, 6, EOS], [5, 6, EOS], logprob=-0.3)
    assert (found.first, found.chosen, found.gap) == (None, None, 0.0)
    assert found.differences == pytest.approx([0.2, 0.2, 0.2])


def test_the_first_other_token_is_named_with_how_much_likelier_the_reference_finds_its_own() -> None:
    found = compared([5, 6, 7], [5, 8, 7], logprob=-0.1)
    assert (found.first, found.chosen) == (1, 8)
    assert found.gap == pytest.approx(3.0)
    assert found.differences == pytest.approx([0.0, 3.0])


def test_what_stands_behind_the_first_other_token_is_not_compared() -> None:
    assert len(compared([5, 6, 7, 7, 7], [8, 6, 7, 7, 7], logprob=-0.1).differences) == 1


def test_an_answer_that_goes_past_its_end_differs_there_whatever_the_numbers() -> None:
    found = compared([5, EOS, 6], [5, EOS, 6])
    assert (found.first, found.chosen, found.gap) == (2, None, math.inf)


def test_an_answer_that_is_cut_before_it_has_all_that_was_asked_for_differs_there() -> None:
    found = compared([5, 6], [5, 6], most=4)
    assert (found.first, found.chosen, found.gap) == (2, 9, math.inf)
    assert compared([], [], most=4).first == 0
    assert compared([5, EOS], [5, EOS], most=4).first is None


def test_any_token_that_ends_an_answer_is_as_good_as_another() -> None:
    assert compared([5, OTHER_END], [5, EOS]).first is None


def test_an_end_that_a_door_does_not_tell_is_added_once() -> None:
    assert [token.id for token in with_end(Answered("", ended=True), [Token(5, None)], ENDS, EOS)] == [5, EOS]
    assert [token.id for token in with_end(Answered("", ended=True), [Token(EOS, None)], ENDS, EOS)] == [EOS]
    assert [token.id for token in with_end(Answered("", ended=False), [Token(5, None)], ENDS, EOS)] == [5]
    assert [token.id for token in with_end(Answered("", ended=True), [], ENDS, EOS)] == [EOS]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, (None, None, None)),
        ({"prompt": "<s>가", "prompt_ids": (0, 7), "prompt_tokens": 2}, (True, True, True)),
        ({"prompt": "가"}, (True, None, None)),
        ({"prompt": "<s><s>가", "prompt_ids": (0, 0, 7), "prompt_tokens": 3}, (False, False, False)),
        ({"prompt": "가 ", "prompt_ids": (7,), "prompt_tokens": 1}, (False, False, False)),
    ],
)
def test_a_prompt_is_compared_by_all_that_a_door_tells_of_it(
    told: dict[str, Any], expected: tuple[bool | None, ...]
) -> None:
    found = compared([5], [5], **told)
    assert (found.prompt, found.ids, found.count) == expected


def test_the_divergence_of_equal_probabilities_is_zero_and_grows_with_their_difference() -> None:
    def found(theirs: tuple[float, float]) -> float:
        top = tuple((place, math.log(value)) for place, value in enumerate(theirs))
        return divergence(Token(0, top[0][1], top), Place(0, -0.5, -0.5, (math.log(0.6), math.log(0.3))))

    assert found((0.6, 0.3)) == pytest.approx(0.0, abs=1e-12)
    assert 0 < found((0.5, 0.4)) < found((0.3, 0.6))
    known = 0.6 * math.log(0.6 / 0.5) + 0.3 * math.log(0.3 / 0.3)
    assert found((0.5, 0.3)) == pytest.approx(known + 0.1 * math.log(0.1 / 0.2))


def test_a_token_that_a_door_finds_impossible_makes_a_divergence_that_is_still_a_number() -> None:
    top = ((0, 0.0), (1, -1e9))
    found = divergence(Token(0, 0.0, top), Place(0, -0.7, -0.7, (math.log(0.5), math.log(0.5))))
    assert math.isfinite(found)
    assert found > 1
