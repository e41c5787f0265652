"""What a stage is started with, needs first and refuses; the trainer itself runs in test_end_to_end."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from axolotl_plugins.resume.identity import stage_identity
from axolotl_plugins.run_folder import LOCK, hold
from rabbit_ko.errors import UserError
from rabbit_ko.hashing import ROOT, file_digest
from rabbit_ko.recipes import Recipe
from rabbit_ko.training import run
from rabbit_ko.training.run import Launch, check_before, merge, parse_overrides, sharding_arguments, train
from tests.stages import put_weights

SMOKE = Recipe("smoke")


def test_a_recipe_for_gpus_is_refused_without_one_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=r"^axolotl_configs/aog-8b/sft\.yaml: bf16: true needs a GPU, and "):
        check_before(Recipe("aog-8b"), "sft", Launch())
    check_before(Recipe("aog-8b"), "sft", Launch(["--bf16=false", "--tf32=false"]))


@pytest.fixture
def commands(smoke_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that are run, each of which leaves what the real one leaves last."""
    ran: list[str] = []

    def leave(command: Sequence[str], *_: object, quiet: bool = False) -> None:
        ran.append(" ".join(command[1:]).removeprefix("-m "))
        if command[1].endswith("make_base_model.py"):
            put_weights(SMOKE.runs / "base/model.safetensors")
        elif "merge-lora" in command:
            merged = SMOKE.run("sft") / "merged"
            merged.mkdir()
            digest = file_digest(SMOKE.run("sft") / "adapter_model.safetensors")
            (merged / "config.json").write_text(json.dumps({"merged_adapter_sha256": digest}))
            (merged / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')
            (merged / "model.safetensors").write_bytes(b"merged")
        elif "axolotl.cli.train" in command:
            stage = "sft" if any("sft.yaml" in part for part in command) else "dpo"
            folder = SMOKE.run(stage)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "adapter_config.json").write_text("{}")
            put_weights(folder / "adapter_model.safetensors")
            made_of = stage_identity(SMOKE.config(stage), {})
            (folder / "run.json").write_text(json.dumps({"made_of": made_of, "overrides": {}}))

    monkeypatch.setattr(run, "run_logged", leave)
    return ran


def stages(commands: Sequence[str]) -> list[str]:
    """The commands in a word each."""
    words = {
        "make_base_model": "base",
        "merge-lora": "merge",
        "train axolotl_configs/smoke/sft": "sft",
        "train axolotl_configs/smoke/dpo": "dpo",
    }
    return [word for command in commands for text, word in words.items() if text in command]


def test_a_stage_makes_what_it_needs_and_nothing_twice(commands: list[str]) -> None:
    assert train(SMOKE, "sft", Launch())
    assert train(SMOKE, "dpo", Launch())
    assert stages(commands) == ["base", "sft", "merge", "dpo"]
    assert not train(SMOKE, "sft", Launch())
    assert not train(SMOKE, "dpo", Launch())
    assert len(commands) == 4


def test_dpo_starts_no_hours_of_sft(commands: list[str]) -> None:
    with pytest.raises(UserError, match="runs/smoke/sft is missing; run `make sft dpo RECIPE=smoke`"):
        train(SMOKE, "dpo", Launch())
    assert commands == []


def test_fresh_trains_again_what_is_up_to_date(commands: list[str]) -> None:
    train(SMOKE, "sft", Launch())
    assert train(SMOKE, "sft", Launch(fresh=True))
    assert commands[-1].endswith("sft.yaml --guard-fresh=true")


def test_overrides_go_to_axolotl_and_are_another_run(commands: list[str]) -> None:
    train(SMOKE, "sft", Launch())
    assert train(SMOKE, "sft", Launch(["--learning-rate=1e-4"]))
    assert commands[-1].endswith(" --learning-rate=1e-4")


def test_a_recipe_without_the_stage_and_a_run_that_leaves_nothing_are_one_line(
    commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"recipe aog-8b has no dpo.yaml"):
        train(Recipe("aog-8b"), "dpo", Launch())
    monkeypatch.setattr(run, "run_logged", lambda *_, **__: None)
    (SMOKE.runs / "base").mkdir(exist_ok=True)
    with pytest.raises(UserError, match="the run ended early"):
        train(SMOKE, "sft", Launch())
    with pytest.raises(UserError, match="no finished run to merge"):
        merge(SMOKE, "sft")


def test_a_folder_that_is_not_the_stages_own_is_refused_before_anything_starts(commands: list[str]) -> None:
    with pytest.raises(
        UserError, match=r"^axolotl_configs/smoke/sft.yaml: output_dir: runs/x is not this stage's own"
    ):
        train(SMOKE, "sft", Launch(["--output-dir=runs/x"]))
    assert commands == []


def test_a_second_run_of_a_stage_is_refused_and_the_log_of_the_first_stays(commands: list[str]) -> None:
    log = SMOKE.run("sft") / "log.txt"
    with hold(SMOKE.run("sft")):
        log.write_text("of the first run", encoding="utf-8")
        for refused in (partial(train, SMOKE, "sft", Launch()), partial(train, SMOKE, "dpo", Launch())):
            with pytest.raises(UserError, match=rf"^runs/smoke/sft is in use by process {os.getpid()} on \S+; wait"):
                refused()
    assert log.read_text(encoding="utf-8") == "of the first run"
    assert train(SMOKE, "sft", Launch())


def test_a_merge_beside_a_run_is_refused_and_leaves_the_merged_model_that_is_there(commands: list[str]) -> None:
    train(SMOKE, "sft", Launch())
    merge(SMOKE, "sft")
    put_weights(SMOKE.run("sft") / "adapter_model.safetensors", 1.0)
    with FileLock(SMOKE.run("sft") / LOCK), pytest.raises(UserError, match="is in use by"):
        merge(SMOKE, "sft")
    assert (SMOKE.run("sft") / "merged/model.safetensors").exists()


def test_a_merged_model_is_one_that_older_readers_take_and_its_checksums_are_those(commands: list[str]) -> None:
    train(SMOKE, "sft", Launch())
    merge(SMOKE, "sft")
    file = SMOKE.run("sft") / "merged/tokenizer_config.json"
    assert json.loads(file.read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    checksums = json.loads(file.with_name("checksums.json").read_text())
    assert checksums["files"][file.name]["sha256"] == file_digest(file)
    assert not merge(SMOKE, "sft")


def test_licenses_that_lie_in_a_run_go_into_its_merged_model_which_is_up_to_date(commands: list[str]) -> None:
    train(SMOKE, "sft", Launch())
    (SMOKE.run("sft") / "LICENSE").write_text("terms")
    merge(SMOKE, "sft")
    assert (SMOKE.run("sft") / "merged/LICENSE").read_text() == "terms"
    assert not merge(SMOKE, "sft")


def test_dpo_stops_where_a_base_that_is_made_anew_makes_sft_stale(commands: list[str]) -> None:
    train(SMOKE, "sft", Launch())
    (SMOKE.runs / "base/made_of.txt").write_text("other sources")
    (SMOKE.runs / "base/model.safetensors").write_bytes(b"an earlier base")
    finish_as_it_is()
    with pytest.raises(UserError, match="runs/smoke/sft is stale: the base model was another"):
        train(SMOKE, "dpo", Launch())
    assert stages(commands) == ["base", "sft", "base"]


def finish_as_it_is() -> None:
    """Let the SFT run say that it was made of what is there now."""
    made_of = stage_identity(SMOKE.config("sft"), {})
    (SMOKE.run("sft") / "run.json").write_text(json.dumps({"made_of": made_of, "overrides": {}}))


def test_the_log_of_an_interrupted_run_stays_when_that_is_resumed(commands: list[str]) -> None:
    run = SMOKE.run("sft")
    (run / "checkpoint-3").mkdir(parents=True)
    (run / "log.txt").write_text("why it died")
    train(SMOKE, "sft", Launch())
    assert (run / "log.txt").read_text() == "why it died"
    train(SMOKE, "sft", Launch(fresh=True))
    assert not (run / "log.txt").exists()


def test_a_merge_that_fails_leaves_no_half_model(commands: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    train(SMOKE, "sft", Launch())

    def fail(*_: object, **__: object) -> None:
        (SMOKE.run("sft") / "merged").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_logged", fail)
    with pytest.raises(KeyboardInterrupt):
        merge(SMOKE, "sft")
    assert not (SMOKE.run("sft") / "merged").exists()


@pytest.mark.parametrize(
    ("gpus", "accelerate", "expected"),
    [
        (None, "", "launch --quiet -m"),
        (1, "", "launch --quiet --num_processes=1 -m"),
        (2, "", "launch --quiet --num_processes=2 --multi_gpu -m"),
        (8, "--num_machines=2 --machine_rank=1", "launch --quiet --num_machines=2 --machine_rank=1 -m"),
    ],
)
def test_gpus_are_all_of_the_machine_or_as_many_as_are_named(
    commands: list[str], gpus: int | None, accelerate: str, expected: str
) -> None:
    train(SMOKE, "sft", Launch(gpus=gpus, accelerate=accelerate))
    assert expected in commands[-1]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ddp", []),
        ("zero1", ["--deepspeed=axolotl_configs/deepspeed/zero1.json"]),
        ("zero2", ["--deepspeed=axolotl_configs/deepspeed/zero2.json"]),
        ("zero3", ["--deepspeed=axolotl_configs/deepspeed/zero3.json"]),
        ("fsdp2", ["--guard-sharding=axolotl_configs/fsdp/fsdp2.yaml"]),
    ],
)
@pytest.mark.usefixtures("smoke_recipe")
def test_a_sharding_is_a_file_that_goes_to_axolotl(name: str, arguments: list[str]) -> None:
    assert sharding_arguments(Launch(sharding=name)) == arguments


@pytest.mark.usefixtures("smoke_recipe")
def test_a_sharding_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="no such sharding; known are ddp, fsdp2, zero1, zero2, zero3"):
        sharding_arguments(Launch(sharding="zero9"))


@pytest.mark.parametrize("gpus", [None, 1, 8])
def test_every_gpu_holds_the_whole_model_unless_it_is_said_otherwise(gpus: int | None) -> None:
    assert sharding_arguments(Launch(gpus=gpus)) == []


def test_overrides_are_read_as_axolotl_reads_them() -> None:
    given = ["--learning-rate=1e-4", "--micro-batch-size", "2", "--no-tf32", "--sample-packing", "--a=b=c"]
    assert parse_overrides(given) == {
        "learning_rate": "1e-4",
        "micro_batch_size": "2",
        "tf32": False,
        "sample_packing": True,
        "a": "b=c",
    }
    with pytest.raises(UserError, match="ARGS: `x` is no option"):
        parse_overrides(["x"])
