"""What the reference thinks of answers, told by ids or as text alone, by a small model of random weights."""

import math
from collections.abc import Iterator

import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.evaluation.models import generate_ids
from rabbit_ko.parity.answers import Answered, Token
from rabbit_ko.parity.reference import UNKNOWN, Reference
from tests.rabbit_ko.export.stages import stage_of

MESSAGES = [{"role": "user", "content": "안녕하세요?"}]
MOST = 12


@pytest.fixture(scope="module")
def reference(
    tmp_path_factory: pytest.TempPathFactory, smoke_tokenizer: PreTrainedTokenizerBase
) -> Iterator[Reference]:
    """The reference of an SFT stage with an adapter."""
    with stage_of(tmp_path_factory.mktemp("reference"), smoke_tokenizer) as stage:
        yield Reference(stage)


@pytest.fixture(scope="module")
def ids(reference: Reference) -> list[int]:
    """Its own answer, which the model does not end by itself."""
    [found] = generate_ids(reference.model, reference.tokenizer, [MESSAGES], MOST)
    assert len(found) == MOST
    assert not reference.ends & {*found}
    return found


def text_of(reference: Reference, ids: list[int]) -> str:
    """The text of some tokens."""
    return str(reference.tokenizer.decode(ids, skip_special_tokens=True))


def found(reference: Reference, text: str, ended: bool = False) -> list[int]:
    """The tokens that an answer is found to have, of which only the text is known."""
    return [token.id for token in reference.tokens_of(MESSAGES, Answered(text, ended), MOST)]


def test_the_same_text_has_the_same_tokens(reference: Reference, ids: list[int]) -> None:
    assert found(reference, text_of(reference, ids)) == ids


def test_a_text_that_ends_before_has_its_end_there(reference: Reference, ids: list[int]) -> None:
    [*said, end] = found(reference, text_of(reference, ids[:5]), ended=True)
    assert text_of(reference, said) == text_of(reference, ids[:5])
    assert end in reference.ends


def test_another_text_has_the_same_tokens_up_to_where_it_differs(reference: Reference, ids: list[int]) -> None:
    [*said, other] = found(reference, text_of(reference, ids[:5]) + "\x00\x00")
    assert said == ids[: len(said)]
    assert other == UNKNOWN or other != ids[len(said)]


def test_each_place_of_an_own_answer_is_as_likely_as_can_be_and_one_more_follows(
    reference: Reference, ids: list[int]
) -> None:
    _, prompt = reference.prompt(MESSAGES)
    [places] = reference.think([prompt], [[Token(token, None) for token in ids]])
    assert len(places) == MOST + 1
    assert [place.chosen for place in places[:-1]] == ids
    assert [place.gap for place in places[:-1]] == [0.0] * MOST
    assert any(place.bare is not None and place.bare != place.own for place in places[:-1])


def test_a_batch_of_answers_of_many_lengths_is_thought_of_as_each_alone(reference: Reference, ids: list[int]) -> None:
    _, prompt = reference.prompt(MESSAGES)
    longer = [*prompt, *ids, *prompt]
    asked = [(prompt, ids), (tuple(longer), ids[:2]), (prompt, [])]
    answers = [[Token(token, None) for token in answer] for _, answer in asked]
    together = [*reference.think([prompt for prompt, _ in asked], answers)]
    for place, (prompt, _) in enumerate(asked):
        [alone] = reference.think([prompt], [answers[place]])
        assert [it.chosen for it in alone] == [it.chosen for it in together[place]]
        assert [it.logprob for it in alone] == pytest.approx([it.logprob for it in together[place]], abs=1e-4)


def test_a_token_that_no_vocabulary_here_has_is_impossible_and_no_error(reference: Reference) -> None:
    _, prompt = reference.prompt(MESSAGES)
    [places] = reference.think([prompt], [[Token(10**9, -0.1, ((10**9, -0.1), (5, -3.0)))]])
    assert (places[0].own, places[0].top[0]) == (-math.inf, -math.inf)
    assert math.isfinite(places[0].top[1])
    assert places[0].gap == math.inf
