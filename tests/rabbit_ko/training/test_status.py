"""A stage's state is told by content: what its run was made of, against what is there now."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from axolotl_plugins.checks.base_model import merged_is_current
from axolotl_plugins.resume.identity import stage_identity
from axolotl_plugins.run_folder import hold
from rabbit_ko.hashing import file_digest
from rabbit_ko.recipes import Recipe
from rabbit_ko.run_record import describe_files
from rabbit_ko.training import status
from rabbit_ko.training.status import State, stage_status

SMOKE = Recipe("smoke")


@pytest.fixture
def recipe(smoke_recipe: Path) -> Path:
    """The smoke recipe with configs of its own, and a finished SFT and DPO run that are up to date."""
    (smoke_recipe / "axolotl_configs").unlink()
    shutil.copytree(Path(__file__).parents[3] / "axolotl_configs", smoke_recipe / "axolotl_configs")
    merged = smoke_recipe / "runs/smoke/sft/merged"
    shutil.copytree(smoke_recipe / "runs/smoke/base", merged)
    digest = hashlib.sha256(b"").hexdigest()  # of the adapter that `finish` leaves
    (merged / "config.json").write_text(json.dumps({"merged_adapter_sha256": digest}))
    for stage in ("sft", "dpo"):
        finish(stage)
    return smoke_recipe


def finish(stage: str, **overrides: Any) -> None:
    """Leave the run.json of a run with these overrides."""
    run = {"made_of": stage_identity(SMOKE.config(stage), overrides), "overrides": overrides}
    SMOKE.run(stage).mkdir(parents=True, exist_ok=True)
    (SMOKE.run(stage) / "adapter_model.safetensors").touch()
    (SMOKE.run(stage) / "run.json").write_text(json.dumps(run), encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text in a file."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def shown(stage: str, **overrides: Any) -> str:
    """What is said of a stage that is to run with these overrides, or as its last run did."""
    return str(stage_status(SMOKE, stage, overrides or None))


@pytest.mark.usefixtures("recipe")
def test_a_finished_run_of_the_same_content_is_up_to_date() -> None:
    assert shown("sft") == shown("dpo") == "up to date"


def test_the_time_of_no_file_counts(recipe: Path) -> None:
    for path in recipe.rglob("*"):
        os.utime(path, (4_000_000_000, 4_000_000_000))
    assert shown("sft") == shown("dpo") == "up to date"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("learning_rate: 6e-3", "learning_rate: 2e-4", "stale: learning_rate was 0.006, not 0.0002"),
        ("num_epochs: 3", "num_epochs: 4", "stale: num_epochs was 3, not 4"),
        ("sequence_len: 1024", "sequence_len: 512", "stale: sequence_len was 1024, not 512"),
    ],
)
@pytest.mark.usefixtures("recipe")
def test_a_key_that_was_changed_is_named_with_both_values(old: str, new: str, said: str) -> None:
    edit(SMOKE.config("sft"), old, new)
    assert shown("sft") == said
    assert shown("dpo") == f"stale: since sft is {said}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("logging_steps: 5", "logging_steps: 1"),
        ("save_steps: 10", "save_steps: 20"),
        ("use_tensorboard: true", "use_tensorboard: false"),
    ],
)
@pytest.mark.usefixtures("recipe")
def test_what_decides_about_nothing_that_is_trained_makes_nothing_stale(old: str, new: str) -> None:
    edit(SMOKE.config("sft"), old, new)
    assert shown("sft") == shown("dpo") == "up to date"


def test_a_shard_the_base_and_the_tokenizer_count(recipe: Path) -> None:
    shard = next((recipe / "data/smoke/sft").glob("train-*"))
    content = shard.read_bytes()
    shard.write_bytes(content + b"x")
    assert shown("sft") == "stale: data/smoke/sft was another"
    shard.write_bytes(content)
    assert shown("sft") == "up to date"
    (recipe / "runs/smoke/base/model.safetensors").write_bytes(b"other weights")
    assert shown("sft") == "stale: the base model was another"
    edit(recipe / "runs/smoke/base/tokenizer_config.json", "{", '{"x": 1,')
    assert shown("sft") == "stale: the base model was another, the tokenizer was another"


@pytest.mark.usefixtures("recipe")
def test_overrides_are_those_of_the_last_run_unless_others_are_asked_for() -> None:
    finish("sft", learning_rate="1e-4")
    assert shown("sft") == "up to date with learning_rate 1e-4"
    assert str(stage_status(SMOKE, "sft", {})) == "stale: learning_rate was 0.0001, not 0.006"
    assert shown("sft", learning_rate="1e-4") == "up to date with learning_rate 1e-4"
    assert shown("sft", learning_rate="2e-4") == "stale: learning_rate was 0.0001, not 0.0002"


def test_a_run_is_missing_interrupted_or_of_an_earlier_version(recipe: Path) -> None:
    run = recipe / "runs/smoke/sft"
    (run / "run.json").write_text("{}", encoding="utf-8")
    assert shown("sft") == "stale: since its run.json is of an earlier version of this project"
    (run / "run.json").unlink()
    assert shown("sft") == "missing"
    for step in (10, 9):
        (run / f"checkpoint-{step}").mkdir()
    assert shown("sft") == "interrupted at step 10"
    assert stage_status(SMOKE, "dpo").state is State.STALE


@pytest.mark.hostile
def test_a_finished_run_whose_own_files_were_changed_is_no_stale_one_and_is_not_trained_over(recipe: Path) -> None:
    run, file = SMOKE.run("sft"), recipe / "runs/smoke/sft/run.json"
    (run / "tokenizer.json").write_text("{}")
    files = {name: record.model_dump() for name, record in describe_files(run).items()}
    file.write_text(json.dumps({**json.loads(file.read_text()), "files": files}))
    assert shown("sft") == "up to date"
    for name in ("generation_config.json", "preprocessor_config.json", "notes.txt"):
        (run / name).write_text("{}")
    assert shown("sft") == "up to date"
    fresh = "train anew: `make sft RECIPE=smoke FRESH=1`"
    added = ("handler.py", "vocab.txt", "model.safetensors", "tokenizer_config.json", "config.json")
    for name in added:
        (run / name).write_text("{}")
        assert shown("sft") == f"changed: {run / name}: was not written by its run; take it away, or {fresh}"
        (run / name).unlink()
    (run / "tokenizer.json").write_text("[]")
    written = f"{run}/tokenizer.json: is not what its run wrote, by its checksum; put it back, or {fresh}"
    assert shown("sft") == f"changed: {written}"
    assert shown("dpo") == f"stale: since sft is changed: {written}"
    edit(SMOKE.config("sft"), "num_epochs: 3", "num_epochs: 4")
    assert shown("sft") == "stale: num_epochs was 3, not 4"
    file.write_text('{"made_of": 1}')
    assert shown("sft").startswith(f"changed: {run}/run.json: made_of: ")


def test_a_run_that_goes_on_is_named_by_its_process(recipe: Path) -> None:
    with hold(SMOKE.run("sft")):
        assert shown("sft").startswith(f"running as process {os.getpid()} on ")
    assert shown("sft") == "up to date"


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"tokenizers": "0.23.9", "transformers": "5.1.2", "torch": "1.0"}, "up to date"),
        ({"tokenizers": "0.21.9"}, "stale: tokenizers was 0.21, not 0.23"),
        ({"transformers": "4.57.1"}, "stale: transformers was 4, not 5"),
    ],
)
def test_of_versions_those_count_that_may_change_tokens(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, then: dict[str, str], said: str
) -> None:
    monkeypatch.setattr(status, "versions", lambda _: {"tokenizers": "0.23.1", "transformers": "5.16.1"})
    file = recipe / "runs/smoke/sft/run.json"
    installed = {"tokenizers": "0.23.1", "transformers": "5.16.1", **then}
    file.write_text(json.dumps({**json.loads(file.read_text()), "versions": installed}))
    assert shown("sft") == said


def test_dpo_is_stale_where_sft_was_trained_anew_and_is_not_merged_yet(recipe: Path) -> None:
    (recipe / "runs/smoke/sft/adapter_model.safetensors").write_bytes(b"another adapter")
    assert (shown("sft"), shown("dpo")) == ("up to date", "stale: since what is merged is not sft as it is now")
    shutil.rmtree(recipe / "runs/smoke/sft/merged")  # to save its disk
    assert shown("dpo") == "up to date"


def test_a_run_whose_weights_are_gone_is_missing(recipe: Path) -> None:
    (recipe / "runs/smoke/sft/adapter_model.safetensors").unlink()
    assert shown("sft") == "missing"


def test_what_is_not_known_of_a_hub_model_is_no_change(recipe: Path) -> None:
    file = recipe / "runs/smoke/sft/run.json"
    run = json.loads(file.read_text())
    file.write_text(json.dumps({**run, "made_of": {**run["made_of"], "the base model": ""}}))
    assert shown("sft") == "up to date"


def test_a_merged_model_is_that_of_the_adapter_that_is_there(recipe: Path) -> None:
    run = recipe / "runs/smoke/sft"
    (run / "adapter_model.safetensors").write_bytes(b"adapter")
    assert not merged_is_current(SMOKE.run("sft"))
    config = json.loads((run / "merged/config.json").read_text())
    config["merged_adapter_sha256"] = "of an earlier adapter"
    (run / "merged/config.json").write_text(json.dumps(config))
    assert not merged_is_current(SMOKE.run("sft"))
    config["merged_adapter_sha256"] = file_digest(run / "adapter_model.safetensors")
    (run / "merged/config.json").write_text(json.dumps(config))
    assert merged_is_current(SMOKE.run("sft"))
    (run / "merged/tokenizer_config.json").unlink()
    assert not merged_is_current(SMOKE.run("sft"))
