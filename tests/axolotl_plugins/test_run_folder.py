"""A run's folder is its own stage's, and one run at a time is in it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from axolotl_plugins.callbacks import what_is_there
from axolotl_plugins.run_folder import check_output_dir, hold, holder
from rabbit_ko.errors import UserError

SFT = Path("axolotl_configs/smoke/sft.yaml")


@pytest.fixture
def recipes(in_tmp: Path) -> Path:
    """Two recipes, `smoke` and `mine`, which was copied from it by hand."""
    for name in ("smoke", "mine"):
        (in_tmp / "axolotl_configs" / name).mkdir(parents=True)
        for file in ("data.yaml", "sft.yaml", "dpo.yaml"):
            (in_tmp / "axolotl_configs" / name / file).touch()
    return in_tmp


@pytest.mark.usefixtures("recipes")
def test_a_stage_may_have_its_own_folder_however_it_is_written() -> None:
    for output in ("runs/smoke/sft", "./runs/smoke/sft/", str(Path("runs/smoke/sft").absolute())):
        check_output_dir({"output_dir": output}, SFT)
        check_output_dir({"output_dir": output}, SFT.absolute())


@pytest.mark.parametrize("output", ["runs/smoke/dpo", "runs/mine/sft", "runs/smoke", "elsewhere", None])
@pytest.mark.usefixtures("recipes")
def test_a_stage_may_have_no_other_folder(output: str | None) -> None:
    with pytest.raises(UserError, match=f"^output_dir: {output} is not this stage's own folder"):
        check_output_dir({"output_dir": output}, SFT)


@pytest.mark.parametrize("copied_by", ["copying", "a link"])
def test_a_copied_recipe_whose_paths_were_not_renamed_is_refused(recipes: Path, copied_by: str) -> None:
    copy = recipes / "axolotl_configs/mine/sft.yaml"
    if copied_by == "a link":
        copy.unlink()
        copy.symlink_to(recipes / SFT)
    with pytest.raises(UserError, match="runs/smoke/sft is not this stage's own folder, which is runs/mine/sft"):
        check_output_dir({"output_dir": "runs/smoke/sft"}, copy.relative_to(recipes))


def test_a_yaml_elsewhere_may_have_a_folder_that_belongs_to_no_recipe_and_no_other_yaml(recipes: Path) -> None:
    for output in ("runs/trial", "/scratch/trial"):
        check_output_dir({"output_dir": output}, Path("trial.yaml"))
    for output in ("runs/smoke/sft", "runs/smoke/base", "runs/mine", "runs/mine/new"):
        with pytest.raises(UserError, match=f"output_dir: {output} belongs to the recipe"):
            check_output_dir({"output_dir": output}, Path("trial.yaml"))

    (recipes / "runs/trial").mkdir(parents=True)
    run = {"config": {"axolotl_config_path": "trial.yaml"}}
    (recipes / "runs/trial/run.json").write_text(json.dumps(run))
    check_output_dir({"output_dir": "runs/trial"}, Path("trial.yaml"))
    with pytest.raises(UserError, match=r"runs/trial holds the finished run of trial.yaml; choose another"):
        check_output_dir({"output_dir": "runs/trial"}, Path("other.yaml"))


def test_a_second_run_is_kept_out_with_the_process_and_the_host_of_the_first_until_that_is_killed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "sft"
    code = (
        "import os, sys, time; from pathlib import Path; from axolotl_plugins.run_folder import hold\n"
        "lock = hold(Path(sys.argv[1]))\n"
        "if os.fork() == 0: print('held', flush=True)\n"  # this one is like a process that loads data
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, process_group=0
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=rf"in use by process {first.pid} on {os.uname().nodename}; wait"):
            hold(folder)
        assert holder(folder) == f"process {first.pid} on {os.uname().nodename}"
        first.kill()
        first.wait()
        assert holder(folder) is None
        with hold(folder):
            assert str(holder(folder)).startswith(f"process {os.getpid()} ")
        os.killpg(first.pid, signal.SIGKILL)
    assert holder(folder) is None


def test_a_folder_is_free_again_when_what_held_it_is_done_in_the_same_process(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path):
            assert holder(tmp_path) is not None
        assert holder(tmp_path) is None


def test_looking_at_a_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None
    assert holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_what_a_new_run_replaces_is_said(tmp_path: Path) -> None:
    assert what_is_there(tmp_path) == ""
    (tmp_path / "checkpoint-3").mkdir()
    assert what_is_there(tmp_path) == "1 checkpoint"
    shutil.copytree(tmp_path / "checkpoint-3", tmp_path / "checkpoint-4")
    (tmp_path / "run.json").write_text(json.dumps({"ended": "2026-11-25T01:02:03+00:00", "steps": 36}))
    assert what_is_there(tmp_path) == "the model of 2026-11-25, 36 steps and 2 checkpoints"
    (tmp_path / "damaged-checkpoint-5").mkdir()
    assert what_is_there(tmp_path) == "the model of 2026-11-25, 36 steps and 3 checkpoints"
