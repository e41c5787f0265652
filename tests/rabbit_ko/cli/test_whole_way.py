"""`rabbit all`: the commands that it runs, and in which order."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from rabbit_ko.cli import main, whole_way
from rabbit_ko.cli.app import app
from rabbit_ko.errors import UserError
from rabbit_ko.pairs.needs import Needs, find_needs
from rabbit_ko.recipes import Recipe, read_config
from tests.conftest import ROOT

JUDGE = ["--judge-url", "http://localhost:1/v1", "--judge-model", "judge"]
Steps = Callable[..., list[str]]


@pytest.fixture
def recipes(in_tmp: Path) -> Path:
    """A working directory with all recipes, in which nothing is built."""
    shutil.copytree(ROOT / "axolotl_configs", in_tmp / "axolotl_configs", symlinks=True)
    return in_tmp / "axolotl_configs"


@pytest.fixture
def steps(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    """What `rabbit all` runs up to the evaluation, without running it."""

    def of(recipe: str, *arguments: str) -> list[str]:
        ran: list[str] = []

        def run(arguments: list[str]) -> int:
            assert arguments[-2:] == ["--recipe", recipe]
            ran.append(" ".join(arguments[:-2]))
            return 0

        for name in ("_run", "_run_here"):
            monkeypatch.setattr(whole_way, name, run)
        with pytest.raises(SystemExit) as ended:
            main(["all", "--recipe", recipe, *arguments])
        assert not ended.value.code
        [measuring] = [step for step in ran if step.startswith("eval --stage base,")]
        return ran[: ran.index(measuring)]

    return of


def test_a_given_judge_makes_the_pairs_that_data_yaml_lists_before_the_stage_that_reads_them(steps: Steps) -> None:
    pairs = f"pairs --stage sft {' '.join(JUDGE)}"
    for recipe in ("rabbit-ko-3b", "qwen3-4b"):
        assert steps(recipe) == ["data", "sft", "dpo"]
        assert steps(recipe, *JUDGE) == ["data", "sft", pairs, "data", "dpo"]
    assert steps("rabbit-ko-3b", *JUDGE, "--stage", "kto") == ["data", "sft", pairs, "data", "kto"]
    # ORPO starts from the base, and there is no SFT model to make pairs of.
    assert steps("rabbit-ko-3b", *JUDGE, "--stage", "orpo") == ["data", "orpo"]
    assert steps("aog-8b", *JUDGE) == ["data", "sft"]


def test_pairs_that_are_there_are_made_anew_where_there_is_a_judge(steps: Steps) -> None:
    folder = Recipe("rabbit-ko-3b").pairs("sft")
    folder.mkdir(parents=True)
    (folder / "pairs.parquet").touch()
    assert steps("rabbit-ko-3b", *JUDGE)[2:4] == [f"pairs --stage sft {' '.join(JUDGE)}", "data"]
    assert steps("rabbit-ko-3b") == ["data", "sft", "dpo"]


@pytest.mark.parametrize("judge", ["rules: [{rule: rabbit_ko.pairs.rules.ends}]", "reward_model: {model: org/judge}"])
def test_a_judge_that_is_no_server_needs_no_url_and_is_given_none(recipes: Path, steps: Steps, judge: str) -> None:
    (recipes / "rabbit-ko-3b/pairs.yaml").write_text(f"judge: {{{judge}}}\npairing: {{margin: 1.0}}\n")
    expected = ["data", "sft", "pairs --stage sft", "data", "dpo"]
    assert steps("rabbit-ko-3b") == steps("rabbit-ko-3b", *JUDGE) == expected
    (recipes / "rabbit-ko-3b/pairs.yaml").unlink()
    assert steps("rabbit-ko-3b", *JUDGE) == ["data", "sft", "dpo"]


def test_the_pairs_of_a_round_come_before_it(steps: Steps) -> None:
    rounds = ["pairs --stage sft", "dpo --round 1", "pairs --stage dpo-1", "dpo --round 2"]
    assert steps("smoke", "--stage", "dpo-2") == ["data", "sft", *rounds]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--stage", "dpo-3"], "recipe smoke has no dpo-3.yaml; write it with `sed "),
        (["--stage", "ipo"], "recipe smoke has no ipo.yaml\n"),
        (["--stage", "dpo-1"], "judge: rubric: who judges? give JUDGE_URL="),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(
    recipes: Path, steps: Steps, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    (recipes / "smoke/pairs.yaml").write_text("judge: {rubric: {}}\n")
    with pytest.raises(AssertionError):
        steps("smoke", *arguments)
    assert capsys.readouterr().err.startswith(f"error: {line}")


def test_the_way_ends_with_dpo_or_with_the_last_method_that_is_no_round(recipes: Path) -> None:
    recipe = Recipe("smoke")
    assert (recipe.last, recipe.way(recipe.last)) == ("dpo", ["sft", "dpo"])
    assert recipe.way("dpo-2") == ["sft", "dpo-1", "dpo-2"]
    (recipes / "smoke/dpo.yaml").unlink()
    assert (recipe.last, recipe.way(recipe.last)) == ("kto", ["sft", "kto"])
    for name in ("orpo", "kto"):
        (recipes / f"smoke/{name}.yaml").unlink()
    assert recipe.way(recipe.last) == ["sft", "simpo"]
    (recipes / "smoke/simpo.yaml").rename(recipes / "smoke/ipo.yaml")
    assert recipe.way(recipe.last) == ["sft", "ipo"]
    for file in (recipes / "smoke").glob("*.yaml"):
        if "-" not in file.name:
            file.unlink()
    assert (recipe.last, recipe.way(recipe.last)) == (None, [])


def test_a_stage_learns_from_what_its_yaml_names_and_from_what_data_yaml_takes(recipes: Path) -> None:
    def needs(recipe: str, stage: str) -> Needs:
        return find_needs(Recipe(recipe), read_config(Recipe(recipe).config(stage)))

    assert [needs("smoke", stage) for stage in ("sft", "dpo", "dpo-1")] == [Needs([]), Needs([]), Needs(["sft"])]
    names = ("sft", "dpo", "kto", "simpo")
    public, own = (Needs([], [], ["sft"]), Needs([], ["sft"]))
    assert [needs("rabbit-ko-3b", name) for name in names] == [Needs([]), public, public, public]
    folder = Recipe("rabbit-ko-3b").pairs("sft")
    folder.mkdir(parents=True)
    (folder / "pairs.parquet").touch()
    assert [needs("rabbit-ko-3b", name) for name in names] == [Needs([]), own, own, own]
    assert needs("rabbit-ko-3b-fast", "dpo") == public


@pytest.fixture
def measured(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is run in the process of `rabbit all`: each command's options, in place of what it does."""
    seen: list[Any] = []
    monkeypatch.setattr(whole_way, "_run", lambda _: 0)
    monkeypatch.setattr(app, "registered_commands", list(app.registered_commands))
    for name in ("eval", "judge", "results", "card"):
        others = [it for it in app.registered_commands if name not in (it.name, getattr(it.callback, "__name__", ""))]
        app.registered_commands = others

        @app.command(name)
        def command(recipe: str = "", stage: str = "", judge_url: str = "", judge_model: str = "") -> None:
            context = click.get_current_context()
            seen.append((context.command_path, recipe, stage, judge_model))
            if context.info_name == os.environ.get("FAILING"):
                raise UserError(f"{stage}: no memory")

    return seen


def test_all_that_measures_runs_in_one_process_with_its_own_name(measured: list[Any]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["all", "--recipe", "smoke", *JUDGE])
    assert not ended.value.code
    assert measured == [
        ("rabbit eval", "smoke", "base,sft,dpo", ""),
        ("rabbit judge", "smoke", "base,sft,dpo", "judge"),
        ("rabbit results", "smoke", "", ""),
        ("rabbit card", "smoke", "dpo", ""),
    ]


def test_what_fails_there_is_told_once_and_ends_the_way(
    measured: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAILING", "judge")
    with pytest.raises(SystemExit) as ended:
        main(["all", "--recipe", "smoke", *JUDGE])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: base,sft,dpo: no memory\n"
    assert [path for path, *_ in measured] == ["rabbit eval", "rabbit judge"]


CHILD = """
import signal, sys, time
from pathlib import Path
def end(*_):
    time.sleep(1)
    Path("ended").touch()
    sys.exit(130)
signal.signal(signal.SIGINT, end)
Path("begun").touch()
time.sleep(30)
"""
PARENT = """
import sys
from rabbit_ko.cli import main, whole_way
whole_way.sys = type("", (), {"executable": sys.argv[1]})
main(["all"])
"""


def test_after_ctrl_c_a_command_that_makes_something_ends_by_itself(recipes: Path) -> None:
    python = Path("python")
    python.write_text(f"#!{sys.executable}\n{CHILD}")
    python.chmod(0o755)
    command = [sys.executable, "-c", PARENT, str(python.absolute())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, process_group=0) as process:
        while not Path("begun").exists():
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(120) == 130
        assert Path("ended").exists()
        assert process.stderr
        assert process.stderr.read() == ""
