"""All that decides a verdict is in the hash of what made it: every module that is imported to ask and to read."""

import subprocess
import sys
from pathlib import Path

from rabbit_ko.evaluation.judge.deciding import MODULES, deciding_files
from tests.conftest import ROOT, environment


def test_every_module_that_asking_and_the_rubric_take_in_is_among_the_deciding_files() -> None:
    package = "rabbit_ko.evaluation.judge"
    program = f"import sys, {package}.asking, {package}.rubric; print(*(n for n in sys.modules if '{package}.' in n))"
    variables = environment(PYTHONPATH=str(ROOT))
    said = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert {name.rpartition(".")[2] for name in said.stdout.split()} == {*MODULES}


def test_the_files_are_there_and_a_rubric_of_one_s_own_is_among_them(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("rubric: x")
    assert all(file.is_file() for file in deciding_files(str(own)))
    assert {*deciding_files(str(own))} - {*deciding_files()} == {own}
    assert {*deciding_files("logickor")} == {*deciding_files("general")} == {*deciding_files()}
