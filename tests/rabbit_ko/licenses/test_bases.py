"""Which licenses hold for a base: by its name, by what its page says, by the files beside it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rabbit_ko.licenses.bases import first_base, is_own, license_of_family, licenses_of
from rabbit_ko.licenses.known import LICENSES
from rabbit_ko.recipes import Recipe, read_config, recipe_names
from tests.conftest import ROOT

NAMED = {
    "meta-llama/Llama-3.2-3B-Instruct": ["llama3.2"],
    "meta-llama/Llama-3.1-8B": ["llama3.1"],
    "meta-llama/Llama-3.3-70B-Instruct": ["llama3.3"],
    "meta-llama/Meta-Llama-3-8B": ["llama3"],
    "meta-llama/Meta-Llama-3.1-8B-Instruct": ["llama3.1"],
    "meta-llama/Llama-2-7b-hf": ["llama2"],
    "beomi/llama-2-ko-7b": ["llama2"],
    "me/Llama2-ko": ["llama2"],
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": ["llama4"],
    "me/ko-llama4-scout": ["llama4"],
    "meta-llama/Llama-Guard-3-8B": ["llama3.1"],
    "meta-llama/Llama-Guard-3-1B": ["llama3.2"],
    "meta-llama/Llama-Guard-4-12B": ["llama4"],
    "beomi/Llama-3-Open-Ko-8B": ["llama3"],
    "MLP-KTLim/llama-3-Korean-Bllossom-8B": ["llama3"],
    "CarrotAI/Llama-3.2-Rabbit-Ko-3B-Instruct": ["llama3.2"],
    "me/korean_llama3.1_8b": ["llama3.1"],
    "google/gemma-2-9b-it": ["gemma"],
    "google/gemma-3-4b-it": ["gemma"],
    "google/gemma-4-E4B-it": ["apache-2.0"],
    "Qwen/Qwen3-4B": ["apache-2.0"],
    "Qwen/Qwen2.5-7B-Instruct": ["apache-2.0"],
    "Qwen/Qwen2.5-32B": ["apache-2.0"],
    "Qwen/Qwen2.5-3B": ["qwen-research"],
    "Qwen/Qwen2.5-72B-Instruct": ["qwen"],
    "kakaocorp/kanana-1.5-2.1b-instruct-2505": ["apache-2.0"],
    "kakaocorp/kanana-1.5-v-3b-instruct": ["kanana"],
    "kakaocorp/kanana-nano-2.1b-instruct": ["cc-by-nc-4.0"],
    "kakaocorp/kanana-2-30b-a3b-instruct-2601": ["kanana"],
    "kakaocorp/kanana-2-3b-instruct": ["kanana-open-license"],
    "LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct": ["exaone-1.1-nc"],
    "LGAI-EXAONE/EXAONE-4.0-1.2B": ["exaone-1.2-nc"],
    "LGAI-EXAONE/EXAONE-4.0.1-32B": ["exaone-1.2-nc"],
    "LGAI-EXAONE/EXAONE-4.5-33B": ["exaone-1.2-nc"],
    "LGAI-EXAONE/EXAONE-Deep-7.8B": ["exaone-1.1-nc"],
    "LGAI-EXAONE/K-EXAONE-236B-A23B": ["k-exaone"],
    "beomi/EXAONE-3.5-2.4B-Instruct-Llamafied": ["exaone-1.1-nc"],
    "someone/EXAONE-Deep-2.4B-ko": ["exaone-1.1-nc"],
    "someone/EXAONE-4.0.1-32B-AWQ": ["exaone-1.2-nc"],
    "someone/EXAONE-4.5-33B-GGUF": ["exaone-1.2-nc"],
    "someone/K-EXAONE-236B-A23B-GGUF": ["k-exaone"],
    "someone/gemma-3n-E4B-ko": ["gemma"],
    "naver-hyperclovax/HyperCLOVAX-SEED-Text-Instruct-1.5B": ["hyperclovax-seed"],
    "naver-hyperclovax/HyperCLOVAX-SEED-Vision-Instruct-3B": ["hyperclovax-seed"],
    "naver-hyperclovax/HyperCLOVAX-SEED-Think-14B": ["hyperclovax-seed"],
    "naver-hyperclovax/HyperCLOVAX-SEED-Think-32B": ["hyperclovax-seed-think-32b"],
    "naver-hyperclovax/HyperCLOVAX-SEED-Omni-8B": ["hyperclovax-seed-omni-8b"],
    "someone/HyperCLOVAX-SEED-Think-14B-ko": ["hyperclovax-seed"],
    "skt/A.X-4.0-Light": ["apache-2.0"],
    "upstage/SOLAR-10.7B-v1.0": ["apache-2.0"],
    "upstage/SOLAR-10.7B-Instruct-v1.0": ["cc-by-nc-4.0"],
    "mistralai/Mistral-7B-v0.3": ["apache-2.0"],
    "microsoft/Phi-4-mini-instruct": ["mit"],
    "HuggingFaceTB/SmolLM2-135M-Instruct": ["apache-2.0"],
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": ["mit", "llama3.1"],
    "openlm-research/open_llama_3b_v2": [],
    "me/my-model": [],
}


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("base", NAMED)
def test_a_base_on_the_hub_is_known_by_its_own_name_or_that_of_its_family(base: str) -> None:
    assert license_of_family(base) == [LICENSES[key] for key in NAMED[base]]
    assert licenses_of(base) == license_of_family(base)


def test_the_license_of_each_recipes_base_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in recipe_names():
        configs = [Recipe(name).config(method.name) for method in Recipe(name).methods]
        for base in {read_config(config)["base_model"] for config in configs}:
            assert base.startswith("runs/") or licenses_of(base), base


def base_folder(folder: Path, page: dict[str, Any] | None = None, files: dict[str, str] | None = None) -> str:
    """Write a base; return its place. page: the header of its README."""
    folder.mkdir(parents=True)
    if page is not None:
        (folder / "README.md").write_text(f"---\n{yaml.safe_dump(page)}---\n# A model\n")
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ({"license": "llama3.2"}, ["llama3.2"]),
        ({"license": "other", "license_name": "hyperclovax-seed", "license_link": "LICENSE"}, ["hyperclovax-seed"]),
        ({"license": "apache-2.0", "base_model": "meta-llama/Llama-3.2-1B"}, ["llama3.2", "apache-2.0"]),
        ({"license": "cc-by-nc-4.0", "base_model": ["google/gemma-2-2b"]}, ["gemma", "cc-by-nc-4.0"]),
        ({"license": "other", "license_name": "gemma-terms-of-use"}, ["gemma"]),
        ({"license": "llama4"}, ["llama4"]),
        ({"license": ["mit", "apache-2.0"]}, ["mit", "apache-2.0"]),
        ({"license": ["unknown", 3, None]}, []),
        ({"license": "unknown"}, []),
        ({"license": "other"}, []),
        ({"license": ["mit"], "base_model": {"a": 1}}, ["mit"]),
        ({"license": {"a": "mit"}}, []),
        ({}, []),
        (None, []),
    ],
)
def test_a_folder_is_under_what_its_page_says_and_what_it_was_made_of(
    tmp_path: Path, page: dict[str, Any] | None, expected: list[str]
) -> None:
    assert licenses_of(base_folder(tmp_path / "base", page)) == [LICENSES[key] for key in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\n\nLlama 3.2 Version Release Date: September 25, 2024", "llama3.2"),
        ("**LLAMA 3.3 COMMUNITY LICENSE AGREEMENT**\n", "llama3.3"),
        ("\nMETA LLAMA 3 COMMUNITY LICENSE AGREEMENT\n", "llama3"),
        (
            "                                 Apache License\n                           Version 2.0, Jan",
            "apache-2.0",
        ),
        ("EXAONE AI Model License Agreement 1.1 - NC\n", "exaone-1.1-nc"),
        ("K-EXAONE AI Model License Agreement\n", "k-exaone"),
        ("LLAMA 2 COMMUNITY LICENSE AGREEMENT\t\nLlama 2 Version Release Date: July 18, 2023", "llama2"),
        ("LLAMA 4 COMMUNITY LICENSE AGREEMENT\n", "llama4"),
        ("Qwen RESEARCH LICENSE AGREEMENT\n", "qwen-research"),
        ("Qwen LICENSE AGREEMENT\n", "qwen"),
    ],
)
@pytest.mark.parametrize("name", ["LICENSE.txt", "license.txt", "LICENCE.txt", "License", "COPYING"])
def test_a_folder_is_under_the_license_whose_text_lies_in_it(
    tmp_path: Path, text: str, expected: str, name: str
) -> None:
    base = base_folder(tmp_path / "base", files={name: text, "readme.txt": "MIT License"})
    assert licenses_of(base) == [LICENSES[expected]]


def test_a_folder_is_known_by_the_name_that_its_config_has_kept(tmp_path: Path) -> None:
    base = base_folder(
        tmp_path / "base", files={"config.json": json.dumps({"_name_or_path": "meta-llama/Llama-3.1-8B"})}
    )
    assert licenses_of(base) == [LICENSES["llama3.1"]]


def test_a_license_that_is_not_known_here_is_named_as_its_page_does(tmp_path: Path) -> None:
    [license] = licenses_of(base_folder(tmp_path / "a", {"license": "openrail"}))
    assert (license.hub, license.is_on_hub, license.is_permissive) == ("openrail", True, False)
    [license] = licenses_of(base_folder(tmp_path / "b", {"license": "other", "license_name": "our-nc-terms"}))
    assert (license.hub, license.is_on_hub, license.commercial) == ("our-nc-terms", False, "no")


@pytest.mark.hostile
@pytest.mark.parametrize(
    "page",
    [
        "---\nlicense: [\n---\n",
        "---\nlicense: !!python/object:os.system x\n---\n",
        "---\nlicense: 'a\\n# b'\n---\n",
        "---\nlicense: other\nlicense_name: '](http://x) **all yours**'\n---\n",
        "no header",
        "\x00\xff",
    ],
)
def test_a_page_that_is_broken_or_means_harm_says_nothing(tmp_path: Path, page: str) -> None:
    base = base_folder(tmp_path / "base", files={"README.md": page, "config.json": "[1]"})
    assert licenses_of(base) == []


def test_a_base_that_a_recipes_script_makes_is_its_own(in_tmp: Path) -> None:
    Path("axolotl_configs/mine").mkdir(parents=True)
    Path("axolotl_configs/mine/make_base_model.py").touch()
    assert is_own("runs/mine/base")
    assert is_own(str(Path("runs/mine/base").absolute()))
    for other in ("runs/mine/sft/merged", "meta-llama/Llama-3.2-3B", "runs/mine", "mine/base"):
        assert not is_own(other)
    assert licenses_of(base_folder(Path("runs/mine/base"), {"license": "llama3.2"})) == []


def test_a_folder_that_is_only_called_like_one_is_not(in_tmp: Path) -> None:
    Path("axolotl_configs/mine").mkdir(parents=True)
    Path("axolotl_configs/mine/make_base_model.py").touch()
    for place in ("elsewhere/runs/mine/base", "runs/llama/base"):
        assert not is_own(place)
        assert not is_own(str(Path(place).absolute()))
        assert licenses_of(base_folder(Path(place), {"license": "llama3.2"})) == [LICENSES["llama3.2"]]


def test_the_first_base_is_that_of_the_run_that_was_first(in_tmp: Path) -> None:
    for run, base in (("sft", "org/base"), ("dpo", "runs/mine/sft/merged"), ("dpo-1", "runs/mine/dpo/merged")):
        folder = Path("runs/mine") / run
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"config": {"base_model": base}}))
    assert {first_base(f"runs/mine/{place}") for place in ("sft", "sft/merged", "dpo", "dpo-1/merged")} == {
        "org/base"
    }
    (Path("runs/mine/sft") / "run.json").write_text(json.dumps({"config": {"base_model": "runs/mine/dpo/merged"}}))
    assert first_base("runs/mine/dpo") in ("runs/mine/dpo/merged", "runs/mine/sft/merged")
    (Path("runs/mine/sft") / "run.json").write_text("{}")
    assert first_base("runs/mine/dpo") == "runs/mine/sft/merged"
