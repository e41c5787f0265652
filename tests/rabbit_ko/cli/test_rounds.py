"""A round is a stage by its name alone: trained by its method's command, listed in its place, and nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest

from rabbit_ko.cli import main
from rabbit_ko.errors import UnknownName, UserError
from rabbit_ko.methods import find_method, stage_method, stages_in
from rabbit_ko.pairs.needs import Needs, find_needs
from rabbit_ko.recipes import Recipe, data_of_recipe, read_config
from rabbit_ko.training.new_recipe import find_config
from tests.conftest import ROOT

SMOKE = Recipe("smoke")


@pytest.fixture
def recipe(in_tmp: Path) -> Path:
    """A working directory with the smoke recipe, in which nothing is trained."""
    shutil.copytree(ROOT / "axolotl_configs/smoke", in_tmp / "axolotl_configs/smoke")
    return in_tmp / "axolotl_configs/smoke"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """What a command exits with, and what it says went wrong."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0), capsys.readouterr().err


def test_rounds_come_after_the_methods_and_by_number() -> None:
    names = ["ipo-1", "dpo-10", "sft", "base", "dpo-2", "eval", "dpo", "dpo-1", "pairs", "data"]
    assert [method.name for method in stages_in(names)] == ["sft", "dpo", "dpo-1", "dpo-2", "dpo-10", "ipo-1"]


@pytest.mark.parametrize("name", ["dpo-0", "dpo-01", "dpo-100", "dpo-", "dpo-1-1", "sft-1", "orpo-1", "x-1", "dpo1"])
def test_what_is_no_round_is_no_stage(name: str) -> None:
    assert find_method(name) is None
    with pytest.raises(UnknownName, match=f"STAGE={name}: there is no such stage"):
        stage_method(name)


def test_a_rounds_name_is_its_command(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = "error: dpo-2 learns from data/pairs/smoke/dpo-1, which is missing"
    (recipe / "dpo-2.yaml").unlink()
    by_name, by_option = told(capsys, "dpo-2"), told(capsys, "dpo", "--round", "2")
    assert by_name == by_option
    assert by_name[1].startswith("error: recipe smoke has no dpo-2.yaml; write it with `sed -e 's#dpo-1#dpo-2#g'")
    assert missing not in by_name[1]
    assert told(capsys, "sft", "--round", "1") == (
        2,
        "error: STAGE=sft-1: there is no such stage; did you mean `sft`?\n",
    )


def test_a_rounds_name_takes_no_other_number(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "error: rabbit: dpo-1 says which round it is; say no other with --round\n"
    assert told(capsys, "dpo-1", "--round", "2") == told(capsys, "dpo-1", "--round=2") == (2, line)
    monkeypatch.setenv("RABBIT_ROUND", "2")
    assert told(capsys, "dpo-1") == (2, line)
    assert "dpo-2 starts from the merged model of dpo-1" in told(capsys, "dpo")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--rounds", "3"], 1, "error: recipe smoke has no dpo-3.yaml; write it with `sed "),
        (["--rounds", "1", "--method", "orpo"], 2, "error: STAGE=orpo-1: there is no such stage"),
        (
            ["--rounds", "1", "--stage", "dpo"],
            2,
            "error: rabbit pairs: rounds of dpo start from sft; say nothing else with --stage",
        ),
        (["--rounds", "1", "--json"], 2, "error: rabbit pairs: --json is for the pairs of one stage"),
        (
            ["--method", "kto"],
            2,
            "error: rabbit pairs: --method is what trains in rounds; say how many with --rounds",
        ),
        (["--rounds", "0"], 2, "error: rabbit pairs: Invalid value for '--rounds'"),
    ],
)
def test_rounds_that_cannot_be_are_one_line(
    recipe: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    returned, error = told(capsys, "pairs", *arguments)
    assert (returned, error.count("\n")) == (code, 1)
    assert error.startswith(said)


def test_pairs_are_of_the_recipe_that_they_began_with() -> None:
    assert data_of_recipe(Path("data/pairs/smoke/sft")) == data_of_recipe(Path("data/smoke")) == Path("data/smoke")
    assert data_of_recipe(Path("elsewhere/smoke")) == Path("elsewhere/smoke")


def test_advice_is_given_only_where_there_is_a_yaml_to_begin_with(recipe: Path) -> None:
    for stage in ("dpo-9", "sft-1", "rlhf"):
        with pytest.raises(UserError, match=f"recipe smoke has no {stage}.yaml$"):
            find_config(SMOKE, stage)


@pytest.mark.parametrize("method", ["dpo", "kto", "simpo"])
def test_the_advice_for_a_round_writes_a_yaml_that_reads_pairs_and_names_its_command(
    recipe: Path, method: str
) -> None:
    for number, parent in ((1, "sft"), (2, f"{method}-1")):
        stage = f"{method}-{number}"
        (recipe / f"{stage}.yaml").unlink(missing_ok=True)
        with pytest.raises(UserError) as error:
            find_config(SMOKE, stage)
        subprocess.run(str(error.value).split("`")[1], shell=True, check=True)
        config, method_config = (read_config(recipe / f"{name}.yaml") for name in (stage, method))
        assert find_needs(SMOKE, config) == Needs([parent])
        assert config["base_model"] == f"runs/smoke/{parent}/merged"
        places = {key: config[key] for key in ("output_dir", "dataset_prepared_path")}
        assert places == {
            "output_dir": f"runs/smoke/{stage}",
            "dataset_prepared_path": f"runs/smoke/{stage}/prepared",
        }
        assert [entry["type"] for entry in config["datasets"]] == [
            entry["type"] for entry in method_config["datasets"]
        ]
        header = (recipe / f"{stage}.yaml").read_text(encoding="utf-8")
        assert f"\n#   make pairs {stage} RECIPE=smoke STAGE={parent}\n" in header
