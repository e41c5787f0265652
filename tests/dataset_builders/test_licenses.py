"""A source that forbids commercial use, or states nothing, is refused by name, unless a reason is given and kept."""

from pathlib import Path
from typing import Any

import pytest

from dataset_builders.recipe import DataConfig, load_config
from dataset_builders.sources import SOURCES
from rabbit_ko.errors import UserError
from tests.conftest import ROOT
from tests.dataset_builders.files import build_rows, write_config

ULTRAFEEDBACK = "maywell/ko_Ultrafeedback_binarized"
RECIPES = ("aog-8b", "rabbit-ko-3b")
OWN = {"name": "ours", "commercial": True, "redistribution": False, "stated": "the contract of 2026"}


def load(folder: Path, policy: str = "commercial", **entry: Any) -> DataConfig:
    """Load a config with one source."""
    wanted = {"source": "koalpaca", "path": "x", **entry}
    return load_config(write_config(folder / "data.yaml", wanted, license_policy=policy))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "beomi/KoAlpaca-v1.1a"}, ["`koalpaca`", "states no license", "license_accepted"]),
        ({"path": "beomi/KoAlpaca-v1.1a", "license_accepted": " "}, ["license_accepted"]),
        ({"source": "ko_ultrafeedback", "path": ULTRAFEEDBACK}, ["`ko_ultrafeedback`", "forbids commercial use"]),
        ({"source": "preference", "path": ULTRAFEEDBACK.lower()}, ["`preference`", "forbids commercial use"]),
        ({"source": "openorca_ko", "path": "mine.jsonl"}, ["`openorca_ko`", "states no license"]),
        ({"source": "alpaca", "name": "mine"}, ["`mine`", "states no license"]),
        ({"source": "alpaca", "license": "CC-BY-NC-4.0"}, ["forbids commercial use (CC-BY-NC-4.0)"]),
        (
            {"source": "preference", "path": ULTRAFEEDBACK, "license": "MIT"},
            ["license: that of maywell/ko_Ultrafeedback_binarized", "non-commercial"],
        ),
        ({"source": "alpaca", "license": "CC-BY-XX"}, ["`CC-BY-XX` is not among", "commercial: true or false"]),
    ],
)
def test_the_commercial_policy_refuses(tmp_path: Path, entry: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        load(tmp_path, **entry)
    assert all(word in str(raised.value) for word in words), raised.value
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "entry",
    [
        {"source": "openorca_ko", "path": "kyujinpy/OpenOrca-KO"},
        {"source": "alpaca", "license": "MIT"},
        {"source": "alpaca", "license": OWN},
        {"license_accepted": "we asked"},
    ],
)
def test_the_commercial_policy_lets_pass(tmp_path: Path, entry: dict[str, Any]) -> None:
    load(tmp_path, **entry)


def test_without_a_policy_any_license_will_do(tmp_path: Path) -> None:
    load(tmp_path, policy="any", source="ko_ultrafeedback", path=ULTRAFEEDBACK)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_real_recipes_are_commercial_and_say_why_koalpaca_may_be_used(recipe: str) -> None:
    config = load_config(ROOT / "axolotl_configs" / recipe / "data.yaml")
    assert config.license_policy == "commercial"
    [koalpaca] = [entry for entry in config.sources if entry.source == "koalpaca"]
    assert koalpaca.stated_license.commercial is None
    assert "states no license" in koalpaca.license_accepted


def test_aog_keeps_every_valid_row() -> None:
    quality = load_config(ROOT / "axolotl_configs" / "aog-8b" / "data.yaml").quality
    gates = [getattr(quality, name) for name in type(quality).model_fields if name != "action"]
    assert {quality.action_of(gate) for gate in gates} == {"report"}


def test_public_sources_say_where_their_license_is_stated() -> None:
    own = {"alpaca", "sharegpt", "messages", "preference", "labelled", "own_pairs", "prompts"}
    for name, source in SOURCES.items():
        assert source.license.stated.startswith("https://") != (name in own)


def test_the_manifest_carries_license_and_reason(tmp_path: Path) -> None:
    rows = [{"instruction": "질문", "output": "답"}]
    [source] = build_rows(tmp_path, "koalpaca", rows, {"license_accepted": "we asked"}).sources
    assert (source.license.name, source.license_accepted) == ("none stated", "we asked")
    [source] = build_rows(tmp_path, "alpaca", rows, {"license": OWN}).sources
    assert source.license.model_dump() == OWN
