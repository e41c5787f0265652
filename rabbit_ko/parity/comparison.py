"""An answer of a door against what the reference thinks of it, token by token."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rabbit_ko.parity.answers import Answered, Token
from rabbit_ko.parity.conversations import Asked
from rabbit_ko.parity.reference import Place


@dataclass(frozen=True)
class Compared:
    """An answer of a door, compared. prompt, ids, count: whether they are the same, None where the door tells none.

    first: the place of the first token that is not the reference's, None where all are; chosen is what the reference
    has there, None where it has nothing, and gap by how much it finds that likelier, in natural logarithms.
    differences, divergences: of the tokens up to that place, where the door tells probabilities. shifts: of the same,
    by how much the adapter moves a token's log-probability, in the stage and at the door. end: whether the door says
    of an answer that has ended that it has.
    """

    asked: Asked
    answer: Answered
    tokens: tuple[Token, ...]
    prompt: bool | None
    ids: bool | None
    count: bool | None
    first: int | None
    chosen: int | None
    gap: float
    differences: tuple[float, ...]
    divergences: tuple[float, ...]
    shifts: tuple[tuple[float, float], ...] = ()
    end: bool = True


def with_end(answer: Answered, tokens: Sequence[Token], ends: frozenset[int], eos: int) -> tuple[Token, ...]:
    """Return an answer's tokens with the one that ends it, which a door need not tell."""
    is_open = answer.ended and not (tokens and tokens[-1].id in ends)
    return (*tokens, Token(eos, None)) if is_open else tuple(tokens)


def compare(
    asked: Asked,
    prompt: tuple[str, tuple[int, ...]],
    bos: str,
    answer: Answered,
    tokens: Sequence[Token],
    places: Sequence[Place],
    ends: frozenset[int],
    max_new_tokens: int,
) -> Compared:
    """Compare an answer, whose tokens have its end, with what the reference thinks of each place, and of one more.

    bos: a door writes it, or leaves it to its tokenizer: that is seen in the ids, or in their number.
    """
    text, ids = prompt
    first, is_over = _first_difference(tokens, places, ends)
    if first is None and len(tokens) < max_new_tokens and not (tokens and tokens[-1].id in ends):
        first, is_over = len(tokens), True  # it was cut before it had all that was asked for
    last = len(tokens) if first is None else first + (not is_over)
    known = [(token, place) for token, place in zip(tokens[:last], places, strict=False) if token.logprob is not None]
    return Compared(
        asked=asked,
        answer=answer,
        tokens=tuple(tokens),
        prompt=None if answer.prompt is None else answer.prompt.removeprefix(bos) == text.removeprefix(bos),
        ids=None if answer.prompt_ids is None else answer.prompt_ids == ids,
        count=None if answer.prompt_tokens is None else answer.prompt_tokens == len(ids),
        first=first,
        chosen=None if first is None or (is_over and first < len(tokens)) else places[first].chosen,
        gap=0.0 if first is None else math.inf if is_over else places[first].gap,
        differences=tuple(abs(token.logprob - place.own) for token, place in known if token.logprob is not None),
        shifts=tuple(_shifts(known)),
        # Some servers say of an answer that ends with the last token that was asked for that it was cut.
        end=answer.ended or len(tokens) >= max_new_tokens or not (tokens and tokens[-1].id in ends),
        divergences=tuple(divergence(token, place) for token, place in known if token.top),
    )


def _shifts(known: Sequence[tuple[Token, Place]]) -> Iterator[tuple[float, float]]:
    for token, place in known:
        if place.bare is not None and token.logprob is not None and math.isfinite(place.own + place.bare):
            yield place.own - place.bare, token.logprob - place.bare


def _first_difference(
    tokens: Sequence[Token], places: Sequence[Place], ends: frozenset[int]
) -> tuple[int | None, bool]:
    """Return the first place where a door has another token, and whether the reference's answer is over by then."""
    for at, (token, place) in enumerate(zip(tokens, places, strict=False)):
        if at and tokens[at - 1].id in ends:
            return at, True
        if token.id != place.chosen and not {token.id, place.chosen} <= ends:
            return at, False
    return None, False


def divergence(token: Token, place: Place) -> float:
    """Return the Kullback-Leibler divergence of a door's probabilities from the reference's, in nats.

    It is taken over the tokens that the door tells and all others as one, so that it is never more than over all.
    """
    ours, theirs = [math.exp(value) for value in place.top], [math.exp(value) for _, value in token.top]
    pairs = [*zip(ours, theirs, strict=True), (1 - sum(ours), 1 - sum(theirs))]
    found = sum(p * math.log(p / max(q, 1e-12)) for p, q in pairs if p > 1e-12)
    return found if not found < 0 else 0.0
