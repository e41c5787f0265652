"""The identity of a run can be told without axolotl, and is the one that the guard records."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from axolotl.integrations.base import PluginManager

from axolotl_plugins.guard import Guard
from axolotl_plugins.resume.identity import (
    changes,
    dataset_fingerprints,
    made_of,
    run_identity,
    stage_identity,
)
from rabbit_ko.recipes import GUARD
from tests.conftest import ROOT
from tests.stages import load_on_cpu

OVERLAY = "axolotl_configs/fsdp/fsdp2.yaml"


def test_it_needs_neither_axolotl_nor_torch() -> None:
    heavy = ("axolotl", "torch", "transformers", "datasets", "accelerate", "peft", "trl")
    script = f"import sys, axolotl_plugins.resume.identity; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def recorded(stage: str, **overrides: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """The identity and the overrides that the guard would record for a stage of the smoke recipe."""
    cfg = load_on_cpu(stage, **overrides)
    guard = PluginManager.get_instance().plugins[GUARD]
    assert isinstance(guard, Guard)
    return run_identity(guard.given, dataset_fingerprints(cfg)), guard.overrides


@pytest.mark.parametrize("stage", ["sft", "dpo"])
@pytest.mark.parametrize(
    "overrides", [{}, {"learning_rate": 0.006, "max_steps": 3, "eval_strategy": None}, {"guard_sharding": OVERLAY}]
)
def test_the_yaml_with_its_overrides_has_the_identity_that_the_guard_records(
    smoke_recipe: Path, stage: str, overrides: dict[str, Any]
) -> None:
    if stage == "dpo":
        (smoke_recipe / "runs/smoke/sft").mkdir()
        (smoke_recipe / "runs/smoke/sft/merged").symlink_to("../base")
    inside, recorded_overrides = recorded(stage, **overrides)
    assert recorded_overrides == overrides
    assert stage_identity(Path(f"axolotl_configs/smoke/{stage}.yaml"), recorded_overrides) == inside
    assert "config.chat_template_jinja" not in inside


def test_a_key_that_is_written_as_in_the_yaml_is_no_override(smoke_recipe: Path) -> None:
    assert recorded("sft", seed=42)[1] == {}


def test_a_finished_run_is_the_same_however_it_was_spread(
    smoke_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path("axolotl_configs/smoke/sft.yaml")
    alone = stage_identity(path, {})
    monkeypatch.setenv("WORLD_SIZE", "8")
    for spread in ({"guard_sharding": OVERLAY}, {"deepspeed": "axolotl_configs/deepspeed/zero2.json"}):
        identity = stage_identity(path, spread)
        assert identity != alone
        assert made_of(identity) == made_of(alone)


def test_changes_are_said_in_words(smoke_recipe: Path) -> None:
    path = Path("axolotl_configs/smoke/sft.yaml")
    before = stage_identity(path, {})
    assert changes(before, before) == ""
    now = stage_identity(path, {"learning_rate": 2e-4, "warmup_steps": None, "max_steps": 5})
    assert changes(before, now) == (
        "learning_rate was 0.006, not 0.0002, warmup_steps was 10, and is not set now, max_steps was not set, not 5"
    )


def test_secrets_are_no_part_of_it_and_the_environment_does_not_change_it(
    smoke_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "abcdefgh")
    options = {"my_api_key": "0123456789", "note": "with abcdefgh", "hf_use_auth_token": True}
    identity = stage_identity(Path("axolotl_configs/smoke/sft.yaml"), options)
    assert "config.my_api_key" not in identity
    assert identity["config.note"] == '"with abcdefgh"'
    assert identity["config.hf_use_auth_token"] == "true"
