"""What is the same, what is near, and what is not, by bounds for how weights are stored."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rabbit_ko.export.gguf import QUANTS
from rabbit_ko.parity.doors import FILE_TYPES
from rabbit_ko.parity.verdict import BOUNDS, EXACT, Verdict, judge
from tests.rabbit_ko.parity.compared import SAME


def verdict(quant: str = "q8_0", **change: Any) -> Verdict:
    """The verdict on an answer that is as it should be and one that is changed."""
    return judge("door", quant, [SAME, replace(SAME, **change)]).verdict


def test_the_same_prompts_tokens_and_probabilities_are_the_same() -> None:
    outcome = judge("door", "f32", [SAME, SAME])
    assert (outcome.verdict, outcome.why, outcome.shown, outcome.same) == (Verdict.SAME, "", None, 2)
    assert (outcome.mean, outcome.largest) == pytest.approx((1.5e-6, 2e-6))


@pytest.mark.parametrize("name", ["prompt", "ids", "count"])
@pytest.mark.parametrize("quant", BOUNDS)
def test_one_other_prompt_is_another_model_however_near_the_numbers_are(name: str, quant: str) -> None:
    assert verdict(quant, **{name: False}) is Verdict.DIFFERENT


def test_what_a_door_does_not_tell_is_no_difference() -> None:
    unknown: dict[str, Any] = {"prompt": None, "ids": None, "count": None, "differences": (), "divergences": ()}
    outcome = judge("door", "bf16", [replace(SAME, **unknown)])
    assert outcome.verdict is Verdict.SAME
    assert (outcome.mean, outcome.largest, outcome.kl) == (None, None, None)
    assert outcome.told("ids") == (0, 0)


@pytest.mark.parametrize(("quant", "bounds"), BOUNDS.items())
def test_another_token_is_near_within_the_bound_of_how_weights_are_stored_and_different_beyond(
    quant: str, bounds: Any
) -> None:
    assert verdict(quant, first=3, chosen=4, gap=0.9 * bounds.gap) is Verdict.NEAR
    assert verdict(quant, first=3, chosen=4, gap=1.1 * bounds.gap) is Verdict.DIFFERENT
    assert verdict(quant, first=3, gap=math.inf) is Verdict.DIFFERENT


@pytest.mark.parametrize(("quant", "bounds"), BOUNDS.items())
def test_probabilities_are_near_within_the_bound_on_their_mean_and_different_beyond(quant: str, bounds: Any) -> None:
    near, far = (replace(SAME, differences=(share * bounds.mean,)) for share in (0.9, 1.1))
    assert judge("door", quant, [far]).verdict is Verdict.DIFFERENT
    assert judge("door", quant, [near]).verdict is (Verdict.NEAR if 0.9 * bounds.mean > EXACT else Verdict.SAME)


@pytest.mark.parametrize("change", [{"gap": math.nan, "first": 1}, {"differences": (math.nan,)}])
@pytest.mark.parametrize("quant", BOUNDS)
def test_what_is_no_number_is_never_the_same_or_near(quant: str, change: dict[str, Any]) -> None:
    assert judge("door", quant, [replace(SAME, **change)]).verdict is Verdict.DIFFERENT


@pytest.mark.parametrize("quant", BOUNDS)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_how_much_of_the_adapter_is_in_a_door_is_found_in_noise_and_tells_another_model(
    quant: str, share: float
) -> None:
    random = np.random.default_rng(0)
    ours = random.normal(0.0, 0.05, 4_000)
    theirs = share * ours + random.normal(0.0, 0.05, 4_000)
    outcome = judge("door", quant, [replace(SAME, shifts=tuple(zip(ours.tolist(), theirs.tolist(), strict=True)))])
    assert outcome.share is not None
    assert outcome.share == pytest.approx(share, abs=0.03)
    assert (outcome.verdict is Verdict.DIFFERENT) is (abs(outcome.share - 1) > BOUNDS[quant].share)


def test_an_adapter_that_moves_nothing_has_no_share() -> None:
    assert judge("door", "f32", [replace(SAME, shifts=((1e-4, 1e-4),) * 10)]).share is None


def test_an_answer_that_ended_and_is_said_to_be_cut_is_another_server() -> None:
    assert verdict(end=False) is Verdict.DIFFERENT


@pytest.mark.parametrize(("quant", "bounds"), BOUNDS.items())
def test_probabilities_that_diverge_beyond_the_bound_are_different(quant: str, bounds: Any) -> None:
    assert verdict(quant, divergences=(2.2 * bounds.kl,)) is Verdict.DIFFERENT
    assert verdict(quant, divergences=(1.8 * bounds.kl,)) is not Verdict.DIFFERENT


def test_the_wider_bounds_of_the_door_and_of_the_reference_hold() -> None:
    far = [replace(SAME, first=1, chosen=2, gap=0.9 * BOUNDS["bf16"].gap)]
    assert judge("door", "f32", far).verdict is Verdict.DIFFERENT
    assert judge("door", "f32", far, reference="bf16").verdict is Verdict.NEAR


def test_why_and_where_a_door_differs_is_the_first_that_was_found_prompts_before_tokens() -> None:
    outcome = judge("door", "f32", [SAME, replace(SAME, first=1, chosen=5, gap=7.0)])
    assert outcome.why == f"a token is likelier by 7.000 here, and {BOUNDS['f32'].gap} is the bound"
    assert outcome.shown is outcome.answers[1]
    prompts_first = judge("door", "f32", [replace(SAME, first=1, gap=7.0), replace(SAME, ids=False)])
    assert prompts_first.why == "the prompt has other ids"


def test_each_way_in_which_an_export_stores_weights_has_bounds() -> None:
    assert {*QUANTS} == {*FILE_TYPES.values()}
    assert {*QUANTS, "fp8"} == {*BOUNDS}
