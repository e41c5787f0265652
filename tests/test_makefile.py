"""What make rebuilds, and what it refuses; the recipes themselves run in test_end_to_end."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import copy_project, environment

PRODUCTS = [
    "data/smoke/sft/train-00000-of-00001.parquet",
    "data/smoke/dpo/train-00000-of-00001.parquet",
    "data/smoke/manifest.json",
    "runs/smoke/base/model.safetensors",
    "runs/smoke/sft/run.json",
    "runs/smoke/sft/merged/tokenizer_config.json",
    "runs/smoke/dpo/run.json",
]
STEPS = {
    "base": "make_base_model.py",
    "data": "-m dataset_builders",
    "sft": "axolotl.cli.train axolotl_configs/smoke/sft.yaml",
    "merge": "merge-lora",
    "dpo": "axolotl.cli.train axolotl_configs/smoke/dpo.yaml",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project in which every step has been done, in order."""
    copy_project(tmp_path)
    for path in tmp_path.rglob("*"):
        touch(path, -1_000)
    (tmp_path / ".venv").mkdir()
    for age, name in enumerate([".venv/.ready", *PRODUCTS]):
        touch(tmp_path / name, age - len(PRODUCTS))
    return tmp_path


def touch(path: Path, seconds: float = 1) -> None:
    """Give a file a time, in seconds from now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    moment = time.time() + seconds
    os.utime(path, (moment, moment))


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in the copy."""
    return subprocess.run(["make", *arguments], cwd=project, capture_output=True, text=True, env=environment())


def planned(project: Path, *goals: str) -> list[str]:
    """The steps that make would take, in order."""
    result = make(project, "--dry-run", *goals)
    assert result.returncode == 0, result.stderr
    found = [(result.stdout.find(text), step) for step, text in STEPS.items()]
    return [step for position, step in sorted(found) if position >= 0]


def test_nothing_is_done_twice(project: Path) -> None:
    assert planned(project, "data", "sft", "merge", "dpo") == []


@pytest.mark.parametrize(
    ("touched", "steps"),
    [
        ("data/smoke/dpo/train-00000-of-00001.parquet", ["dpo"]),
        ("data/smoke/sft/train-00000-of-00001.parquet", ["sft", "merge", "dpo"]),
        ("axolotl_configs/smoke/dpo.yaml", ["dpo"]),
        ("axolotl_configs/smoke/sft.yaml", ["sft", "merge", "dpo"]),
        ("prompt_strategies/dpo.py", ["dpo"]),
        ("prompt_strategies/sft.py", ["sft", "merge", "dpo"]),
        ("prompt_strategies/qir.py", ["sft", "merge", "dpo"]),
        ("prompt_strategies/iir.py", []),
        ("prompt_strategies/tokens.py", ["sft", "merge", "dpo"]),
        ("axolotl_configs/smoke/data.yaml", ["data"]),
        ("dataset_builders/sources/koalpaca.py", ["data"]),
        ("prompt_strategies/prompt_injection.py", ["data", "sft", "merge", "dpo"]),
        ("dataset_builders/gates/refusals.py", ["data"]),
        ("rabbit_ko/inspection/pages.py", []),
        ("README.md", []),
    ],
)
def test_only_what_depends_on_a_touched_file_is_made_again(project: Path, touched: str, steps: list[str]) -> None:
    touch(project / touched)
    assert planned(project, "dpo") == steps


def test_a_template_reaches_even_the_base_that_carries_it(project: Path) -> None:
    touch(project / "prompt_strategies" / "template.py")
    assert planned(project, "dpo") == ["data", "base", "sft", "merge", "dpo"]


def test_a_source_file_listed_by_the_builders_is_an_input(project: Path) -> None:
    touch(project / "mine.jsonl")
    (project / "data/smoke/inputs.mk").write_text("data/smoke/manifest.json: mine.jsonl\nmine.jsonl:\n")
    assert planned(project, "data") == ["data"]


def test_overrides_always_run_the_stage_they_are_for_and_no_other(project: Path) -> None:
    touch(project / "axolotl_configs/smoke/sft.yaml")
    plan = make(project, "--dry-run", "dpo", "ARGS=--num-epochs=1").stdout
    assert "axolotl_configs/smoke/dpo.yaml  --num-epochs=1" in plan
    assert plan.count("--num-epochs=1") == 1
    assert planned(project, "sft", "ARGS=--num-epochs=1") == ["sft"]


def test_the_whole_way_can_be_planned_in_a_fresh_clone(project: Path) -> None:
    for name in PRODUCTS:
        (project / name).unlink()
    assert planned(project, "data", "sft", "dpo") == ["data", "base", "sft", "merge", "dpo"]


def test_a_prompt_reaches_chat_as_it_was_written(project: Path) -> None:
    (project / ".venv/bin").mkdir()
    (project / ".venv/bin/python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (project / ".venv/bin/python").chmod(0o755)
    prompt = """'$100' "100%" $(shell echo pwned) `date` $HOME"""
    shown = make(project, "chat", f"PROMPT={prompt}", "SYSTEM=$x").stdout.splitlines()
    assert shown[-3:] == [prompt, "--system", "$x"]


def test_an_id_reaches_inspect_as_it_was_written(project: Path) -> None:
    (project / ".venv/bin").mkdir()
    (project / ".venv/bin/python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (project / ".venv/bin/python").chmod(0o755)
    row = """faq/'1' "$x" `date`"""
    shown = make(project, "inspect", f"ID={row}", "HTML=my rows.html").stdout.splitlines()
    assert shown[-4:] == ["--id", row, "--html", "my rows.html"]


def test_dpo_refuses_in_one_line_to_start_without_sft(project: Path) -> None:
    (project / "runs/smoke/sft/run.json").unlink()
    result = make(project, "dpo")
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "run `make sft RECIPE=smoke` first" in line
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "RECIPE=smok"], "there is no recipe `smok`; recipes: aog-8b"),
        (["dpo", "RECIPE=aog-8b"], "recipe aog-8b has no dpo.yaml"),
    ],
)
def test_what_does_not_exist_is_named_in_one_line(project: Path, arguments: list[str], message: str) -> None:
    result = make(project, *arguments)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert message in line


def test_several_gpus_get_the_deepspeed_file_and_one_gets_none(project: Path) -> None:
    touch(project / "axolotl_configs/smoke/sft.yaml")
    touch(project / ".venv/lib/python3.11/site-packages/deepspeed/__init__.py")
    plans = {
        gpus: make(project, "-n", "data", "sft", "RECIPE=rabbit-ko-3b", f"GPUS={gpus}").stdout for gpus in (0, 1, 8)
    }
    assert "--deepspeed=axolotl_configs/deepspeed/zero2.json" in plans[8]
    assert "--deepspeed" not in plans[0] + plans[1]
    assert "--deepspeed" not in make(project, "-n", "sft", "GPUS=8").stdout


def train_command(project: Path, *variables: str) -> str:
    """The line with which make would start rabbit-ko-3b's SFT."""
    plan = make(project, "-n", "data", "sft", "RECIPE=rabbit-ko-3b", *variables).stdout.replace("\\\n", " ")
    [line] = [line for line in plan.splitlines() if "axolotl.cli.train" in line]
    return " ".join(line.split())


@pytest.mark.parametrize(
    ("engine", "argument"),
    [
        ("zero1", "--deepspeed=axolotl_configs/deepspeed/zero1.json"),
        ("zero2", "--deepspeed=axolotl_configs/deepspeed/zero2.json"),
        ("zero3", "--deepspeed=axolotl_configs/deepspeed/zero3.json"),
        ("fsdp2", "--guard-sharding=axolotl_configs/fsdp/fsdp2.yaml"),
    ],
)
def test_an_engine_is_a_file_that_goes_to_axolotl(project: Path, engine: str, argument: str) -> None:
    line = train_command(project, "GPUS=8", f"PARALLEL={engine}")
    assert line.endswith(f"axolotl_configs/rabbit-ko-3b/sft.yaml {argument}")
    assert train_command(project, "GPUS=8", "PARALLEL=ddp").endswith("axolotl_configs/rabbit-ko-3b/sft.yaml")


def test_an_engine_that_is_not_there_is_named_in_one_line(project: Path) -> None:
    result = make(project, "sft", "PARALLEL=zero9")
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "there is no engine `zero9`; engines: ddp zero1 zero2 zero3 fsdp2" in line


def test_gpus_are_all_of_the_machine_or_as_many_as_are_named(project: Path) -> None:
    assert "launch --quiet --num_processes=2 --multi_gpu -m" in train_command(project, "GPUS=2")
    assert "launch --quiet --num_processes=1 -m" in train_command(project, "GPUS=1")
    assert "launch --quiet -m" in train_command(project)
    machines = "--num_machines=2 --num_processes=16 --machine_rank=1"
    assert f"launch --quiet {machines} -m" in train_command(project, f"LAUNCH={machines}", "GPUS=8")


def test_plan_gets_what_the_run_is_to_have(project: Path) -> None:
    def planned_with(*variables: str) -> str:
        return " ".join(make(project, "-n", "plan", *variables).stdout.replace("\\\n", " ").split())

    whole = planned_with("RECIPE=aog-8b", "GPUS=8", "GPU_MEMORY=40", "PARALLEL=fsdp2", "CARD=a100", "ARGS=--json")
    assert whole.endswith(
        "-m rabbit_ko.planning axolotl_configs/aog-8b --gpus 8 --gpu-memory 40 --parallel fsdp2 --card a100 --json"
    )
    assert planned_with("GPUS=0").endswith("-m rabbit_ko.planning axolotl_configs/smoke --gpus 1 --gpu-memory 80")


def test_plan_reads_what_the_benchmark_has_measured(project: Path, tmp_path: Path) -> None:
    there, missing = tmp_path / "train.json", tmp_path / "missing.json"
    there.touch()
    assert f"--measured {there}" in make(project, "-n", "plan", f"MEASURED={there}").stdout
    assert "--measured" not in make(project, "-n", "plan", f"MEASURED={missing}").stdout


@pytest.mark.parametrize(("asked", "recipe"), [("smoke", "aog-8b"), ("rabbit-ko-3b", "rabbit-ko-3b")])
def test_bench_trains_the_recipe_that_is_named_and_for_smoke_the_8b(project: Path, asked: str, recipe: str) -> None:
    planned = make(project, "-n", "bench", "WHAT=train", f"RECIPE={asked}", "STEPS=7", "ARGS=--small").stdout
    assert " ".join(planned.replace("\\\n", " ").split()).endswith(
        f"-m rabbit_ko.benchmarks.train {recipe} --steps 7 --small"
    )


def test_help_is_the_default_and_lists_targets_recipes_and_variables(project: Path) -> None:
    shown = make(project).stdout
    assert shown == make(project, "help").stdout
    for word in (
        "setup",
        "data",
        "sft",
        "merge",
        "dpo",
        "chat",
        "inspect",
        "bench",
        "plan",
        "test",
        "PARALLEL",
        "aog-8b",
        "rabbit-ko-3b",
        "RECIPE",
        "ARGS",
    ):
        assert word in shown


def test_setup_says_what_to_install_where_python_is_too_old_or_missing(project: Path) -> None:
    result = make(project, "setup", "PYTHON=python-that-is-not-there")
    assert result.returncode == 2
    assert "is not there, older than 3.11, or without venv (apt install python3-venv)" in result.stderr
    assert "Python 3.11 or newer is needed" in make(project, "setup", "PYTHON=").stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [((), set()), (("MERGED=1",), {"--merged"}), (("PUBLIC=1",), {"--public"}), (("PUBLIC=0", "MERGED=0"), set())],
)
@pytest.mark.parametrize("recipe", ["smoke", "aog-8b"])
def test_a_model_is_pushed_merged_or_in_public_only_where_that_is_asked(
    project: Path, recipe: str, options: tuple[str, ...], expected: set[str]
) -> None:
    target = ("push-model", f"RECIPE={recipe}", "REPO=org/name")
    planned = make(project, "--dry-run", *target, *options).stdout
    assert "rabbit_ko.publishing.model_card push" in planned
    assert {option for option in ("--merged", "--public") if option in planned} == expected


def test_options_for_training_do_not_go_to_the_evaluation(project: Path) -> None:
    planned = make(project, "--dry-run", "all", "ARGS=--learning-rate=1e-4").stdout
    assert "rabbit_ko.evaluation.harness smoke" in planned
    assert all("--learning-rate" not in line for line in planned.splitlines() if "evaluation." in line)


@pytest.mark.parametrize(("fresh", "times"), [((), 0), (("FRESH=0",), 0), (("FRESH=1",), 1)])
def test_only_one_means_fresh_and_training_alone_is_told(project: Path, fresh: tuple[str, ...], times: int) -> None:
    (project / "runs/smoke/sft/run.json").unlink()
    assert make(project, "-n", "sft", *fresh).stdout.count("--guard-fresh=true") == times
