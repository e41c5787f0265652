"""The loss of a step is the formula of the method's paper, of the ids that SFT has, on axolotl's own trainers."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import run
from tests.formulas import CASES

pytestmark = pytest.mark.slow
AGREE = 1e-5
MENDED = [name for name, (*_, mend) in CASES.items() if mend]
Measured = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def measured(project: Path) -> Measured:
    """Everything, measured in one process, since it takes long to start."""
    command = [".venv/bin/python", "-m", "tests.formulas"]
    result = run(project, *command, AXOLOTL_DO_NOT_TRACK="1", HF_HUB_OFFLINE="1")
    return dict(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", CASES)
def test_the_loss_of_a_step_is_the_formula_of_the_paper(measured: Measured, name: str) -> None:
    assert measured[name]["loss"] == pytest.approx(measured[name]["formula"], abs=AGREE, rel=0)


def test_no_two_formulas_say_the_same(measured: Measured) -> None:
    said = sorted(found["formula"] for found in measured.values())
    assert min(after - before for before, after in pairwise(said)) > 100 * AGREE


@pytest.mark.parametrize("name", MENDED)
def test_what_trl_does_by_itself_would_be_seen(measured: Measured, name: str) -> None:
    assert abs(measured[name]["without mend"] - measured[name]["formula"]) > 1000 * AGREE


def test_a_divergence_of_a_prompts_own_answers_would_be_seen(measured: Measured) -> None:
    found = measured["kto"]
    assert abs(found["formula of own answers"] - found["formula"]) > 100 * AGREE
