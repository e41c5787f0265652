"""Rows, steps, operations and hours."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from axolotl_plugins.loss import PAD_TO_MULTIPLE_OF
from axolotl_plugins.processes import Batch
from rabbit_ko.errors import UserError
from rabbit_ko.methods import METHODS
from rabbit_ko.planning.plan import Measurement, read_measurements
from rabbit_ko.planning.work import (
    GPUS,
    PAD_TO,
    Rows,
    describe_rows,
    evaluated_share,
    hours,
    packed_share,
    padded_share,
    row_lengths,
    token_flops,
    work_of,
)
from rabbit_ko.recipes import GUARD
from tests.dataset_builders.data_folder import make_data_folder, row
from tests.rabbit_ko.planning.stages import LLAMA_8B, stage

# As it was once written: tokens a second count padding, of which a plan knows nothing.
ROWLESS = '{"results": [{"recipe": "a", "stage": "sft", "device": "H100", "tokens_per_second": 1.0}]}'
LENGTHS = st.lists(st.integers(1, 4096), min_size=1, max_size=200)


def rows(count: int, tokens: float, filled: float | None = None) -> Rows:
    """Rows of one length."""
    return Rows(count, "", tokens, "", tokens, filled)


def test_a_plain_run_takes_the_steps_that_axolotl_counts() -> None:
    work = work_of(stage(), rows(51_731, 400))
    assert (work.steps, work.rows_per_step) == (4850, 32)
    assert work.tokens == work.positions == 51_731 * 400 * 3


def test_a_packed_run_counts_sequences() -> None:
    packed = stage(packed=True, batch=Batch(2, 2))
    work = work_of(packed, rows(1_000, 512, 1.0))
    assert (work.steps, work.rows_per_step) == (125 * 3 // 4, 32)


def test_a_pair_of_preferences_is_two_sequences() -> None:
    dpo = stage(method=METHODS["dpo"], epochs=1.0, batch=Batch(2, 8))
    work = work_of(dpo, rows(100, 300))
    assert (work.steps, work.tokens) == (7, 60_000)


def test_operations_of_frozen_trained_and_forward() -> None:
    matmul = LLAMA_8B.parameters - 128_256 * 4096 - 65 * 4096
    assert LLAMA_8B.matmul_parameters == matmul
    assert token_flops(stage(rank=None), 0) == 6 * matmul
    assert token_flops(stage(rank=32), 0) == 4 * matmul + 6 * 83_886_080
    # Attention over 1,000 tokens: two products, two operations each, half of the positions, three passes, 32 layers.
    attention = 32 * 2 * 2 * 4096 * 500
    assert token_flops(stage(rank=None), 1000) - 6 * matmul == 3 * attention
    # A forward pass of the reference; in KTO two of it, and one more of the model.
    for name, passes in {"sft": 0, "dpo": 1, "ipo": 1, "orpo": 0, "simpo": 0, "kto": 3}.items():
        more = token_flops(stage(method=METHODS[name]), 1000) - token_flops(stage(), 1000)
        assert more == passes * (2 * matmul + attention), name


def test_hours_are_operations_by_speed() -> None:
    assert hours(312e12 * 7200, GPUS["a100"], 1, mfu=1.0) == pytest.approx(2.0)
    assert hours(1e18, GPUS["a100"], 8) == pytest.approx(hours(1e18, GPUS["a100"], 1) / 8)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"evals_per_epoch": 2}, 1 + 6),  # at steps 167, 334, ..., 835, and at the last, 1,000
        ({"evals_per_epoch": 1, "epochs": 1.0}, 0),  # axolotl takes an interval of the whole run for none
        ({"eval_steps": 300.0}, 1 + 4),
        ({"eval_steps": 0.25}, 1 + 4),
        ({"eval_strategy": "epoch"}, 1 + 3),
        ({"eval_strategy": "steps", "logging_steps": 100}, 1 + 10),
        ({"eval_strategy": False}, 0),
        ({}, 0),
        ({"evals_per_epoch": 2, "evaluated": False}, 0),
    ],
)
def test_evaluations_are_counted_as_axolotl_makes_them(keys: dict[str, Any], expected: int) -> None:
    assert stage(**keys).evaluations(1_000) == expected


def test_operations_of_the_evaluations_of_a_packed_run_by_hand() -> None:
    packed = stage(packed=True, batch=Batch(2, 2), evals_per_epoch=2)
    known = describe_rows(packed, [], (51_731, ""), None, 1_056)
    assert known.test_filled == 400 / 448  # 400 tokens are padded to 7 x 64, not to 4,096
    work = work_of(packed, known)
    # Two operations for each of 7,504,658,432 weights in products and 83,886,080 of LoRA, attention over 400 tokens.
    forward = 2 * (7_504_658_432 + 83_886_080) + 32 * 2 * 4096 * 400
    assert work.evaluations == 7
    assert work.evaluation_flops == pytest.approx(7 * 1_056 * 448 * forward)
    assert work.evaluation_share == pytest.approx(0.0253, abs=1e-4)
    # The same rows, padded to `sequence_len`, would have been nearly a fifth of the whole.
    padded = work.evaluation_flops * 4096 / 448
    assert padded / work.flops == pytest.approx(0.237, abs=1e-3)


def test_training_is_counted_as_it_was_beside_evaluations() -> None:
    with_tests, without = (
        work_of(stage(evals_per_epoch=2, evaluated=one), rows(1_000, 400)) for one in (True, False)
    )
    assert (with_tests.steps, with_tests.flops) == (without.steps, without.flops)


@pytest.mark.parametrize(("first", "passes"), [(False, 3), (True, 1)])
def test_the_reference_reads_the_pairs_of_an_evaluation_too_or_once_before_all(first: bool, passes: int) -> None:
    dpo = stage(method=METHODS["dpo"], epochs=1.0, evals_per_epoch=2, reference_first=first)
    known = Rows(3_200, "", 300.0, "", 300.0, None, test_count=50, test_filled=0.75)
    work = work_of(dpo, known)
    positions, weights, attention = 50 * 2 * 400, LLAMA_8B.matmul_parameters, 32 * 2 * 4096 * 300
    model, reference = 2 * (weights + 83_886_080) + attention, 2 * weights + attention
    assert work.evaluation_flops == pytest.approx(positions * (3 * model + passes * reference))


def test_an_evaluation_s_batches_are_padded_as_the_guard_pads_them() -> None:
    assert PAD_TO == PAD_TO_MULTIPLE_OF
    lengths = [100, 300, 10, 20]
    planned = stage(batch=Batch(2, 8), packed=True)
    assert evaluated_share(planned, lengths) == 430 / (2 * 320 + 2 * 64)
    assert evaluated_share(planned.model_copy(update={"eval_batch_size": 1}), lengths) == 430 / (128 + 320 + 64 + 64)
    assert evaluated_share(planned.model_copy(update={"eval_packed": True}), lengths) == 430 / 4096
    assert evaluated_share(stage(method=METHODS["dpo"], batch=Batch(1, 1)), lengths) == 430 / (2 * 300 + 2 * 20)


@given(LENGTHS)
def test_shares_are_shares(lengths: list[int]) -> None:
    assert 0 < packed_share(lengths, 4096) <= 1
    assert 0 < padded_share(lengths, 8) <= 1
    assert padded_share(lengths, 1) == 1


def test_packing_fills_what_can_be_filled() -> None:
    assert packed_share([1024] * 8, 4096) == 1.0
    assert packed_share([4096, 1, 4096], 4096) == 8193 / (3 * 4096)


def test_lengths_are_measured_given_or_assumed_and_it_is_said_which() -> None:
    planned = stage(sequence_len=400)
    measured = describe_rows(planned, [100, 300], (2, "counted"))
    assert (measured.tokens, measured.context, measured.filled) == (200, 250, 400 / 600)
    assert measured.tokens_from == "2 sequences of data/x, tokenized"
    assert describe_rows(planned, [100, 300], (2, ""), 150.0).tokens_from == "as you say"
    assert "assumed" in describe_rows(planned, [], (2, "")).tokens_from


def test_native_rows_are_as_long_as_the_template_that_is_named_makes_them(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    make_data_folder(in_tmp / "data/mine")
    path = in_tmp / "sft.yaml"
    named = f"plugins: [{GUARD}]\nchat_template: llama3\nspecial_tokens: {{eos_token: <|eot_id|>}}\n"
    path.write_text(named, encoding="utf-8")
    tokenizer = deepcopy(smoke_tokenizer)
    planned = stage(path=path, data=Path("data/mine"), prompt="prompt_strategies.native")
    found = row_lengths(planned, tokenizer)
    rows = [row("sft", number)["messages"] for number in range(5)]
    assert tokenizer.chat_template != smoke_tokenizer.chat_template
    assert found == [len(ids) for ids in tokenizer.apply_chat_template(rows, return_dict=True)["input_ids"]]


def test_measured_speed_of_the_same_model_gives_hours_on_as_many_gpus_or_more(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_text(
        '{"results": [{"recipe": "a", "stage": "sft", "device": "A", "gpus": 2, "speed": {"seconds_per_row": 0.5}},'
        ' {"recipe": "b", "stage": "sft", "device": "A", "speed": {"seconds_per_row": 1}},'
        ' {"recipe": "a", "stage": "sft", "device": "CPU", "shape": "small", "speed": {"seconds_per_row": 1}}]}'
    )
    asked = stage(path=Path("recipes/a/sft.yaml"))
    [result] = read_measurements(path, asked)
    assert result == Measurement(recipe="a", stage="sft", device="A", gpus=2, seconds_per_row=0.5)
    assert (result.hours(3_600, 2.0, 2), result.hours(3_600, 2.0, 4)) == (1.0, 0.5)


@pytest.mark.parametrize("text", ["{", '{"results": [{"recipe": "a"}]}', ROWLESS])
def test_a_file_without_measurements_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"train\.json: (no measurements|damaged): "):
        read_measurements(path, stage())
