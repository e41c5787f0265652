"""A file laid over a stage adds its keys, and never changes what the stage says."""

from pathlib import Path

import pytest

from tests.axolotl_plugins.test_guard import recipe as recipe
from tests.stages import load_stage


def laid_over(recipe: Path, text: str) -> Path:
    """A file to lay over the smoke recipe's SFT."""
    path = recipe.parent / "sharding.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_its_keys_are_added(recipe: Path) -> None:
    path = laid_over(recipe, "max_grad_norm: 0.5\nseed: 42\n")
    cfg = load_stage(recipe / "smoke" / "sft.yaml", guard_sharding=str(path))
    assert (cfg.max_grad_norm, cfg.seed) == (0.5, 42)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 7", "and the stage both set `seed`; take it away in one of them"),
        ("fsdp_versoin: 2", r"fsdp_versoin: unknown key; did you mean `fsdp_version`\?"),
        ("- seed", "must hold `key: value` lines"),
        ("seed: [", "guard_sharding: "),
    ],
)
def test_mistakes_are_one_line(recipe: Path, text: str, message: str) -> None:
    path = laid_over(recipe, text)
    with pytest.raises(SystemExit, match=message) as error:
        load_stage(recipe / "smoke" / "sft.yaml", guard_sharding=str(path))
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_one_line(recipe: Path) -> None:
    with pytest.raises(SystemExit, match=r"guard_sharding: no/such\.yaml: no such file"):
        load_stage(recipe / "smoke" / "sft.yaml", guard_sharding="no/such.yaml")
