"""What makes a run fast leaves its loss as it is, in float32 on a CPU: packing, checkpointing, kernels, reference."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run

pytestmark = pytest.mark.slow
AGREE = 1e-4


@pytest.fixture(scope="module")
def measured(project: Path) -> dict[str, Any]:
    """Everything, measured in one process, since it takes long to start."""
    command = [".venv/bin/python", "-m", "tests.equivalence"]
    result = run(project, *command, AXOLOTL_DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", TRITON_INTERPRET="1")
    return dict(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize("option", ["eager attention", "checkpointing", "LoRA kernels", "fused loss"])
def test_an_option_for_speed_changes_neither_loss_nor_gradients(measured: dict[str, Any], option: str) -> None:
    found, plain = measured["sft"][option], measured["sft"]["plain"]
    assert found["loss"] < AGREE
    assert found["gradient"] < AGREE
    assert min(plain.values()) > 0.1


def test_the_options_were_really_on(measured: dict[str, Any]) -> None:
    assert measured["sft"]["eager attention"]["passes"] == 1
    assert measured["sft"]["checkpointing"]["passes"] == 2
    assert measured["sft"]["LoRA kernels"]["in use"] == ["apply_lora_qkv", "apply_lora_o"]
    assert not measured["sft"]["fused loss"]["has logits"]


def test_kernels_that_read_half_of_an_adapter_would_be_seen(measured: dict[str, Any]) -> None:
    broken = measured["sft"]["LoRA kernels, halved"]
    assert min(broken["loss"], broken["gradient"]) > 100 * AGREE


def test_packing_does_not_change_the_loss_of_a_token(measured: dict[str, Any]) -> None:
    packing = measured["packing"]
    assert packing["rows"] == packing["packed_rows"] > 100
    assert packing["packs"] < packing["rows"] / 3
    assert packing["loss"] < AGREE / 10, packing["worst"]


def test_rows_that_see_each_other_would_be_seen(measured: dict[str, Any]) -> None:
    assert measured["packing"]["broken"] > 1000 * AGREE


def test_a_reference_before_training_is_the_one_in_each_step(measured: dict[str, Any]) -> None:
    found = measured["dpo"]["precomputed"]
    # The sum over an answer is some hundreds; the loss is taken from differences of them.
    assert found["reference"] < 10 * AGREE
    assert found["loss"] < AGREE
    assert found["gradient"] < AGREE


def test_a_reference_of_other_rows_would_be_seen(measured: dict[str, Any]) -> None:
    broken = measured["dpo"]["precomputed, of other rows"]
    assert min(broken["loss"], broken["gradient"]) > 1000 * AGREE
