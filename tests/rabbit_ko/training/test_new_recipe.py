"""A new recipe has all its paths right, and the tokens of its base."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from transformers import PreTrainedTokenizerBase

from dataset_builders.recipe import load_config
from rabbit_ko.errors import UserError
from rabbit_ko.methods import ROW_KINDS
from rabbit_ko.recipes import Recipe, find_recipe, recipe_names
from rabbit_ko.training.new_recipe import copy_recipe, renamed, special_tokens
from tests.conftest import ROOT
from tests.stages import save_base


@pytest.fixture(autouse=True)
def _configs(in_tmp: Path) -> None:
    shutil.copytree(ROOT / "axolotl_configs", in_tmp / "axolotl_configs")


def test_a_base_in_the_home_folder_is_written_out(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(in_tmp))
    save_base(in_tmp / "base", smoke_tokenizer)
    assert list(copy_recipe(Recipe("aog-8b"), "mine", "~/base"))
    config = yaml.safe_load(find_recipe("mine").config("sft").read_text(encoding="utf-8"))
    assert config["base_model"] == str(in_tmp / "base")


@pytest.mark.parametrize("source", ["smoke", "aog-8b", "aog-8b-fast", "rabbit-ko-3b", "rabbit-ko-3b-fast"])
def test_every_path_and_command_is_the_new_recipes_own(source: str) -> None:
    assert list(copy_recipe(Recipe(source), "mine"))
    assert "mine" in recipe_names()
    mine = find_recipe("mine")
    load_config(mine.data_config)
    for method in mine.methods:
        text = mine.config(method.name).read_text(encoding="utf-8")
        config = yaml.safe_load(text)
        assert config["output_dir"] == str(mine.run(method.name))
        assert config["dataset_prepared_path"] == f"{mine.run(method.name)}/prepared"
        for entry in config["datasets"]:
            folder = Path(entry["path"])
            assert folder.name in ROW_KINDS
            assert folder.parent == mine.data or folder.parent.parent == mine.pairs("sft").parent
        assert set(re.findall(r"RECIPE=([\w.-]+)", text)) <= {"mine"}
        assert f"axolotl_configs/mine/{method.name}.yaml" in text
        assert not re.search(rf"(data|runs|axolotl_configs)/{source}\b(?!-)", text)
        before = yaml.safe_load(Recipe(source).config(method.name).read_text(encoding="utf-8"))
        paths = {"output_dir", "dataset_prepared_path", "datasets", "test_datasets", "base_model"}
        assert {key: config[key] for key in config.keys() - paths} == {
            key: before[key] for key in before.keys() - paths
        }
        if parent := mine.parent(method.name):
            assert config["base_model"] == f"{mine.run(parent)}/merged"


def test_pairs_are_those_of_the_new_recipe_s_own_model() -> None:
    text = "path: data/pairs/smoke/sft\nother: data/pairs/smoke/dpo-1/dpo\nbase_model: runs/smoke/dpo-1/merged\n"
    assert renamed(text, "mine") == text.replace("smoke", "mine")
    assert list(copy_recipe(Recipe("rabbit-ko-3b"), "mine"))
    [taken] = [entry for entry in load_config(Recipe("mine").data_config).sources if entry.other]
    assert taken.other
    assert taken.other.path == "data/pairs/mine/sft/pairs.parquet"


def test_another_base_brings_its_tokens(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    save_base(Path("models/base"), smoke_tokenizer)
    said = list(copy_recipe(Recipe("rabbit-ko-3b"), "mine", "models/base"))
    assert said[-1] == "base_model: models/base, with its tokenizer's own tokens"
    mine = Recipe("mine")
    assert yaml.safe_load(mine.config("sft").read_text())["base_model"] == "models/base"
    assert yaml.safe_load(mine.config("dpo").read_text())["base_model"] == "runs/mine/sft/merged"
    assert "special_tokens" not in mine.config("sft").read_text() + mine.config("dpo").read_text()


def test_with_a_base_of_its_own_a_recipe_makes_none(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    save_base(Path("models/base"), smoke_tokenizer)
    list(copy_recipe(Recipe("smoke"), "mine", "models/base"))
    assert Recipe("mine").base_script is None


def test_a_token_that_ends_an_answer_and_one_to_pad_with_are_named(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    stop = smoke_tokenizer.convert_tokens_to_ids("<|eot_id|>")
    save_base(Path("base"), smoke_tokenizer, eos_token_id=stop)
    config = Path("base/tokenizer_config.json")
    config.write_text(config.read_text().replace("<|finetune_right_pad_id|>", "<|end_of_text|>"))
    assert special_tokens("base") == {"eos_token": "<|eot_id|>", "pad_token": "<|finetune_right_pad_id|>"}
    list(copy_recipe(Recipe("rabbit-ko-3b"), "mine", "base"))
    for stage in ("sft", "dpo"):
        assert yaml.safe_load(Recipe("mine").config(stage).read_text())["special_tokens"] == special_tokens("base")


@pytest.mark.parametrize(
    ("name", "base", "line"),
    [
        ("smoke", "", "axolotl_configs/smoke: is there already"),
        ("../x", "", "a recipe's name has letters"),
        ("", "", "a recipe's name has letters"),
        ("mine", "./no/such", "its tokenizer cannot be loaded"),
        ("pairs", "", "data/pairs is the folder of all recipes' pairs"),
    ],
)
def test_what_cannot_be_copied_leaves_nothing(name: str, base: str, line: str) -> None:
    before = recipe_names()
    with pytest.raises(UserError, match=line):
        list(copy_recipe(Recipe("smoke"), name, base))
    assert recipe_names() == before
