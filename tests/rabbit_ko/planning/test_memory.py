"""What must hold of the memory, whatever the model, the stage and the machine."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axolotl_plugins.processes import Batch
from rabbit_ko.methods import METHODS
from rabbit_ko.planning.memory import GIB, SHARDINGS, Sharding, advise, estimate
from rabbit_ko.planning.stage import ModelShape, Stage
from tests.rabbit_ko.planning.stages import LLAMA_8B, stage

SIZES = st.sampled_from([1, 2, 3, 4, 6, 8, 16, 64])


@st.composite
def shapes(draw: st.DrawFn) -> ModelShape:
    """Llamas of many forms."""
    kv_heads = draw(st.integers(1, 8))
    head_dim = draw(st.sampled_from([32, 64, 128]))
    heads = kv_heads * draw(st.integers(1, 8))
    return ModelShape(
        name="drawn",
        model_type="llama",
        vocab_size=draw(st.integers(32_000, 256_000)),
        hidden_size=draw(st.integers(512, 8192)),
        intermediate_size=draw(st.integers(1024, 28_672)),
        layers=draw(st.integers(2, 80)),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        tied=draw(st.booleans()),
    )


@st.composite
def stages(draw: st.DrawFn) -> Stage:
    """Stages with any options."""
    flags = ("packed", "dropout", "four_bit", "half", "checkpointing", "lora_kernels", "fused_norm", "fused_glu")
    return stage(
        shape=draw(shapes()),
        method=METHODS[draw(st.sampled_from(["sft", "dpo"]))],
        batch=Batch(draw(SIZES), draw(SIZES)),
        sequence_len=draw(st.sampled_from([512, 2048, 4096, 8192])),
        rank=draw(st.sampled_from([None, 8, 32, 128])),
        fused_loss=draw(st.booleans()),
        grouped_attention=draw(st.booleans()),
        evaluated=draw(st.booleans()),
        **{flag: draw(st.booleans()) for flag in flags},
    )


def total(planned: Stage, gpus: int = 1, sharding: Sharding = "ddp", **changes: Any) -> float:
    """The bytes of one GPU."""
    return estimate(planned.model_copy(update=changes), gpus, sharding)["total"]


@given(stages(), SIZES, SIZES, st.sampled_from(["zero1", "zero2", "zero3", "fsdp2"]))
def test_more_gpus_never_need_more_memory_each(planned: Stage, few: int, more: int, sharding: Sharding) -> None:
    assert total(planned, few * more, sharding) <= total(planned, few, sharding)


@given(stages(), SIZES)
def test_each_stage_of_zero_needs_no_more_than_the_one_before(planned: Stage, gpus: int) -> None:
    states = [estimate(planned, gpus, sharding) for sharding in ("zero1", "zero2", "zero3")]
    without_gathered = [memory["total"] - 1.05 * memory["gathered"] for memory in states]
    assert without_gathered[0] >= without_gathered[1] - 1 >= without_gathered[2] - 2


@pytest.mark.parametrize(
    "saving", [{"checkpointing": True}, {"fused_loss": True}, {"fused_norm": True}, {"lora_kernels": True}]
)
@given(stages(), SIZES, st.sampled_from(SHARDINGS))
def test_what_saves_memory_never_needs_more(
    saving: dict[str, bool], planned: Stage, gpus: int, sharding: Sharding
) -> None:
    off = dict.fromkeys(saving, False)
    assert total(planned, gpus, sharding, **saving) <= total(planned, gpus, sharding, **off)


@given(stages(), st.sampled_from(SHARDINGS))
def test_smaller_batches_and_shorter_rows_never_need_more(planned: Stage, sharding: Sharding) -> None:
    halved = Batch(max(planned.batch.micro_batch_size // 2, 1), planned.batch.gradient_accumulation_steps)
    assert total(planned, 2, sharding, batch=halved) <= total(planned, 2, sharding)
    assert total(planned, 2, sharding, sequence_len=planned.sequence_len // 2) <= total(planned, 2, sharding)


@given(stages())
def test_weights_in_four_bits_are_less_than_a_third_of_bf16_but_for_the_embeddings(planned: Stage) -> None:
    sixteen, four = (
        estimate(planned.model_copy(update={"rank": 32, "half": True, "four_bit": bits}), 1, "ddp")["weights"]
        for bits in (False, True)
    )
    saved = sixteen - four
    assert saved == pytest.approx((2 - 0.516) * planned.shape.linear_parameters, rel=1e-3)


@given(stages(), SIZES, st.sampled_from(SHARDINGS), st.integers(1, 200))
def test_advice_lowers_the_memory_step_by_step_and_stops_when_it_fits(
    planned: Stage, gpus: int, sharding: Sharding, gib: int
) -> None:
    before, steps = total(planned, gpus, sharding), advise(planned, gpus, sharding, gib)
    totals = [before, *(gib_then * GIB for _, gib_then in steps)]
    assert all(later < earlier for earlier, later in pairwise(totals))
    assert all(value > gib * GIB for value in totals[:-1])


def test_lora_of_the_8b_model_by_hand() -> None:
    memory = estimate(stage(checkpointing=True), 1, "ddp")
    assert memory["weights"] == 2 * LLAMA_8B.parameters
    assert (memory["adapter"], memory["gradients"], memory["optimizer"]) == tuple(n * 83_886_080 for n in (4, 4, 8))
    assert memory["activations"] == 4 * 4096 * 32 * 2 * 4096
    assert memory["working"] == 4 * 4096 * 128_256 * 12
    assert memory["gathered"] == 0


def test_evaluation_counts_only_where_its_logits_are_more_than_training_holds() -> None:
    logits = 4 * 4096 * 128_256 * 10
    assert estimate(stage(), 1, "ddp")["evaluation"] == 0
    small = estimate(stage(checkpointing=True, fused_loss=True), 1, "ddp")
    assert small["activations"] + small["working"] + small["evaluation"] == logits
    assert estimate(stage(checkpointing=True, fused_loss=True, evaluated=False), 1, "ddp")["evaluation"] == 0


def test_zero_and_fsdp2_spread_the_8b_model_over_eight_gpus() -> None:
    trained = 83_886_080
    for sharding, weights, states in (
        ("ddp", 1, (4 * trained, 8 * trained, 8 * trained)),
        ("zero1", 1, (2 * trained, 2 * trained, 12 * trained / 8)),
        ("zero2", 1, (2 * trained, 2 * trained / 8, 12 * trained / 8)),
        ("zero3", 8, (2 * trained / 8, 2 * trained / 8, 12 * trained / 8)),
        ("fsdp2", 8, (4 * trained / 8, 4 * trained / 8, 8 * trained / 8)),
    ):
        memory = estimate(stage(), 8, sharding)  # type: ignore[arg-type]
        assert memory["weights"] == 2 * LLAMA_8B.parameters / weights
        assert (memory["adapter"], memory["gradients"], memory["optimizer"]) == states
