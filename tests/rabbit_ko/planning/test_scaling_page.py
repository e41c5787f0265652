"""docs/scaling.md shows what the calculator says now, and shardings and gpus that exist."""

import re
from pathlib import Path

import pytest

from axolotl_plugins.processes import share
from rabbit_ko.methods import METHODS
from rabbit_ko.planning.memory import GIB, SHARDINGS, can_estimate, estimate
from rabbit_ko.planning.stage import read_stage
from rabbit_ko.planning.work import GPUS
from tests.conftest import ROOT

PAGE = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z0-9.-]+)` ([a-z]+) \| ([-0-9. |]+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("recipe", "kind", "cells"), ROWS, ids=lambda value: str(value))
def test_memory_is_what_the_calculator_estimates(recipe: str, kind: str, cells: str) -> None:
    stage = read_stage(ROOT / f"axolotl_configs/{recipe}/{kind}.yaml")
    on_four = stage.model_copy(update={"batch": share(stage.batch, 4)})
    on_one = f"{estimate(stage, 1, 'ddp')['total'] / GIB:.1f}"
    spread = [
        f"{estimate(on_four, 4, sharding)['total'] / GIB:.1f}" if can_estimate(stage, sharding) else "-"
        for sharding in SHARDINGS
    ]
    assert cells.split(" | ") == [on_one, *spread]


def test_every_stage_but_those_on_tiny_bases_is_in_the_table() -> None:
    stages = {(path.parent.name, path.stem) for path in ROOT.glob("axolotl_configs/*/*.yaml")}
    wanted = {(name, kind) for name, kind in stages if kind in METHODS and not name.startswith("smoke")}
    assert {(recipe, kind) for recipe, kind, _ in ROWS} == wanted


def test_what_the_commands_name_is_there() -> None:
    for recipe in re.findall(r"RECIPE=([a-z0-9.-]*[a-z0-9])", PAGE):
        assert (ROOT / f"axolotl_configs/{recipe}").is_dir()
    for gpu in re.findall(r"GPU=([a-z0-9-]+)", PAGE):
        assert gpu in GPUS
    for sharding in re.findall(r"SHARDING=([a-z0-9]+)", PAGE):
        assert sharding in SHARDINGS
    for file in re.findall(r"axolotl_configs/\S+\.(?:yaml|json)", PAGE):
        assert Path(ROOT / file).is_file()
