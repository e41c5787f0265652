"""Make hands every variable to the command as it is, and decides nothing by itself."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.main import get_command

from rabbit_ko.cli import known_variables
from rabbit_ko.cli.app import app
from tests.conftest import ROOT, environment

HOSTILE = [
    "$(shell touch PWNED)",
    "x; touch PWNED #",
    "`touch PWNED`",
    "$$(touch PWNED)",
    "'\"; touch PWNED; \"'",
    "'; touch PWNED; '",
    '" && touch PWNED "',
    "x\ntouch PWNED",
    "x\n\ttouch PWNED",
    "$(eval $(shell touch PWNED))",
    "a b\t$HOME %d \\n * 한글",
]
TEXT = (ROOT / "Makefile").read_text(encoding="utf-8")
# What the Makefile defines, loops over or reads.
DEFINED = re.findall(r"^(?:override |export )*([.\w]+) [:?]?=", TEXT, re.MULTILINE)
READ = re.findall(r"\$\((?:value |origin |foreach |call |filter setup,\$\(value )?([.A-Za-z_]+)[),]", TEXT)
OWN = sorted({*DEFINED, *READ})
VARIABLES = sorted(known_variables(get_command(app)))
# A Python that can make an environment, and whose pip installs the command.
PYTHON = """#!/bin/sh
echo "python $@" >> installed
case "$2" in
venv) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
pip) test ! -e no-pip && printf '#!/bin/sh\\necho "$@"\\n' > .venv/bin/rabbit && chmod +x .venv/bin/rabbit ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile, and a command that says what it was called with."""
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/.ready").write_bytes((ROOT / "pyproject.toml").read_bytes())
    command = tmp_path / ".venv/bin/rabbit"
    command.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\nenv -0 | grep -z "^RABBIT_[^K]"\nexit 0\n')
    command.chmod(0o755)
    interpreter = tmp_path / ".venv/bin/python"  # never this one's, whose pip would install
    interpreter.write_text("#!/bin/sh\nexit 1\n")
    interpreter.chmod(0o755)
    return tmp_path


def make(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make there."""
    settings = environment(**variables)
    return subprocess.run(["make", *arguments], cwd=project, capture_output=True, text=True, env=settings)


@pytest.mark.hostile
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_is_read_by_make_or_a_shell(project: Path, value: str) -> None:
    given = [f"{name}={value}" for name in VARIABLES]
    result = make(project, "chat", *given)
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.split("\0")) == sorted(["", "chat", *(f"RABBIT_{pair}" for pair in given)])
    assert not list(project.rglob("PWNED*"))


@pytest.mark.hostile
@pytest.mark.parametrize("value", HOSTILE)
def test_no_variable_of_the_makefile_itself_can_be_given(project: Path, value: str) -> None:
    given = {name: f"{name}={value}" for name in OWN if name != ".VARIABLES"}
    assert {"BIN", "CHOSEN", "COMMA", "EACH_GIVEN", "GIVEN", "IS_READY", "MAKECMDGOALS", "PIP", "SHELL"} <= {*given}
    of_setup = [given.pop("EXTRAS"), given.pop("PYTHON")]
    result = make(project, "chat", *given.values())
    assert (result.returncode, result.stdout.split("\0")[0]) == (0, "chat"), result.stderr
    del given["MAKECMDGOALS"]
    for options in (["--dry-run"], ["--ignore-errors"]):
        result = make(project, *options, "setup", *of_setup, *given.values())
        assert "EXTRAS is a list of some of train," in result.stdout + result.stderr
    assert not list(project.rglob("PWNED*"))


@pytest.mark.hostile
@pytest.mark.parametrize("name", OWN)
def test_each_variable_of_the_makefile_itself_is_handed_on_as_any_other(project: Path, name: str) -> None:
    """So the command says that there is none of that name."""
    result = make(project, "data", f"{name}=$(shell touch PWNED)")
    assert not list(project.rglob("PWNED*"))
    of_setup, not_shown = ("EXTRAS", "PYTHON"), (".", "EACH_GIVEN", "KNOWN")
    assert name in of_setup or name.startswith(not_shown) or f"\0RABBIT_{name}=" in result.stdout


@pytest.mark.hostile
@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["PYTHON", "EXTRAS"])
def test_setup_runs_no_value(project: Path, name: str, value: str) -> None:
    refused = {
        "PYTHON": "is not there, older than 3.11, or without venv",
        "EXTRAS": "EXTRAS is a list of some of train,",
    }
    result = make(project, "setup", f"{name}={value}")
    assert result.returncode == 2
    assert refused[name] in result.stderr
    given = make(project, "--dry-run", "--ignore-errors", "setup", f"{name}={value}")
    assert "touch" not in given.stdout
    assert not list(project.rglob("PWNED*"))


@pytest.mark.hostile
def test_setup_runs_no_value_where_errors_are_ignored_and_where_the_shell_has_them(project: Path) -> None:
    program = project / "python'; touch PWNED; '"
    program.write_text(PYTHON)
    program.chmod(0o755)
    for value in HOSTILE:
        make(project, "--ignore-errors", "setup", f"PYTHON=./{program.name}", f"EXTRAS={value}")
        make(project, "setup", PYTHON=f"./{program.name}", EXTRAS=value)
    assert "python -m venv .venv" in (project / "installed").read_text()
    assert not list(project.rglob("PWNED*"))


@pytest.mark.hostile
@pytest.mark.parametrize("goal", HOSTILE)
def test_no_goal_is_read_by_a_shell(project: Path, goal: str) -> None:
    result = make(project, "sft", goal, "STAGE=dpo")
    assert result.stdout.startswith("sft\0RABBIT_STAGE=dpo\0")
    assert "(" in goal or result.stdout.split("\0")[2] == goal  # make reads brackets in a goal as those of an archive
    assert not list(project.rglob("PWNED*"))


def test_a_variable_of_the_shell_counts_for_nothing(project: Path) -> None:
    assert make(project, "sft", STAGE="production", LANG="ko_KR.UTF-8", N="9").stdout == "sft\0"


def test_several_targets_run_in_the_order_in_which_they_are_named(project: Path) -> None:
    for folder in ("data", "sft", "dpo"):
        (project / folder).mkdir()
    assert make(project, "data", "sft", "dpo").stdout == "data\0sft\0dpo\0"


def test_a_target_that_fails_ends_the_call(project: Path) -> None:
    command = project / ".venv/bin/rabbit"
    command.write_text('#!/bin/sh\necho "$@"\nexit 1\n')
    result = make(project, "sft", "dpo")
    assert (result.returncode, result.stdout) == (2, "sft\n")


def test_the_makefile_is_short() -> None:
    assert len(TEXT.splitlines()) <= 120


def test_help_is_the_default_and_lists_targets_recipes_and_commands(project: Path) -> None:
    (project / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    shown = make(project).stdout
    assert shown == make(project, "help").stdout
    for word in ("setup", "lint", "check", "test", "aog-8b", "rabbit-ko-3b", "smoke", "PYTHON", "EXTRAS", "--help"):
        assert word in shown


def test_the_environment_is_made_again_where_pyproject_has_changed_and_not_where_it_was_touched(
    project: Path,
) -> None:
    (project / "pyproject.toml").touch()
    assert "pip install" not in make(project, "--dry-run", "sft").stdout
    (project / "pyproject.toml").write_text("[project]\n")
    assert "pip install" in make(project, "--dry-run", "sft").stdout


def test_setup_says_what_to_install_where_python_is_too_old_or_missing(project: Path) -> None:
    result = make(project, "setup", "PYTHON=python-that-is-not-there")
    assert result.returncode == 2
    assert "is not there, older than 3.11, or without venv (apt install python3-venv)" in result.stderr
    assert "Python 3.11 or newer is needed" in make(project, "setup", "PYTHON=").stderr


@pytest.mark.hostile
@pytest.mark.parametrize(
    "lacks", [".venv", ".venv/.ready", ".venv/bin/python", ".venv/bin/rabbit", "pip", "interpreter"]
)
def test_an_environment_that_is_not_complete_is_mended_before_a_command_runs(project: Path, lacks: str) -> None:
    program = project / "python3"
    program.write_text(PYTHON)
    program.chmod(0o755)
    for path in (project / ".venv/bin").iterdir():
        path.unlink()
        path.write_text(PYTHON if path.name == "python" else "#!/bin/sh\necho $@\n")
        path.chmod(0o755)
    if lacks == "pip":
        (project / ".venv/.ready").unlink()
        (project / ".venv/bin/python").write_text("#!/bin/sh\nexit 1\n")
    elif lacks == "interpreter":
        (project / ".venv/bin/python").unlink()
        (project / ".venv/bin/python").symlink_to("/no/such/python3")
    elif (path := project / lacks).is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    result = make(project, "sft", PATH=f"{project}:{os.environ['PATH']}")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "sft"
    assert (project / ".venv/.ready").read_bytes() == (project / "pyproject.toml").read_bytes()


@pytest.mark.hostile
def test_an_installation_that_breaks_off_is_no_environment(project: Path) -> None:
    program = project / "python3"
    program.write_text(PYTHON.replace("venv)", "pip) exit 1 ;;\nvenv)"))
    program.chmod(0o755)
    assert make(project, "setup", "EXTRAS=train", PATH=f"{project}:{os.environ['PATH']}").returncode == 2
    assert not (project / ".venv/.ready").exists()


def test_only_flash_attn_is_built_without_isolation_and_first_of_all_looks_whether_it_can_be(project: Path) -> None:
    plain = make(project, "--dry-run", "setup", "EXTRAS=train,gpu,dev").stdout
    assert "-e '.[train,gpu,dev]'" in plain
    assert "--no-build-isolation" not in plain
    assert "rabbit_ko.training.flash_attn" not in plain
    lines = make(project, "--dry-run", "setup", "EXTRAS=train,gpu,flash-attn").stdout.splitlines()
    looks, installs, builds = (
        next(index for index, line in enumerate(lines) if text in line)
        for text in ("rabbit_ko.training.flash_attn", "-e '.[train,gpu,train]'", "--no-build-isolation -e")
    )
    assert looks < installs < builds
    assert "'.[flash-attn]'" in lines[builds]


def test_deepspeed_is_one_that_can_be_imported_on_a_gpu_and_trains_on_a_cpu() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pins = [Requirement(line) for name in ("gpu", "dev") for line in extras[name] if line.startswith("deepspeed")]
    assert [list(pin.specifier.filter(("0.18.6", "0.18.9", "0.19.8"))) for pin in pins] == [["0.19.8"], ["0.19.8"]]
    assert len(extras["gpu"]) == 1  # nothing that takes a compiler
