"""A recipe to measure."""

from pathlib import Path

import pytest

from tests.rabbit_ko.evaluation.results.result_folder import make_recipe


@pytest.fixture
def recipe(in_tmp: Path) -> Path:
    """A working directory with a recipe of two stages and no results."""
    make_recipe()
    return in_tmp
