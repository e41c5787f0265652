"""A stage is found or named as missing; its fingerprint changes with all that its answers depend on."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from axolotl_plugins.checks.model_files import ADAPTER_CONFIG
from axolotl_plugins.portable import make_portable
from prompt_strategies.chat_template import chat_template
from prompt_strategies.template import IIR, QIR
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import find_stage, fingerprint
from rabbit_ko.recipes import GUARD
from tests.conftest import ROOT
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.publishing.model_folder import make_models


@pytest.fixture
def recipes(in_tmp: Path) -> Path:
    """A working directory with the recipes, in which nothing is trained."""
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    return in_tmp


def finish(stage: str) -> None:
    """Leave what a finished run leaves."""
    folder = Path("runs/aog-8b") / stage
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")


def adapter_on_a_base(folder: Path) -> Path:
    """An adapter, and the model that it is on."""
    for name, files in {"base": ("model.safetensors", "config.json"), "sft": ("adapter_model.safetensors",)}.items():
        (folder / name).mkdir()
        for file in (*files, "tokenizer.json", "chat_template.jinja"):
            (folder / name / file).write_bytes(name.encode())
    config = {"base_model_name_or_path": str(folder / "base"), "r": 8}
    (folder / "sft" / "adapter_config.json").write_text(json.dumps(config))
    return folder / "sft"


def test_the_base_is_the_model_of_the_first_stage(recipes: Path) -> None:
    assert find_stage("aog-8b", "base").model == "beomi/Llama-3-Open-Ko-8B"
    assert find_stage("aog-8b", "base").headings is QIR


def test_a_recipe_trained_on_other_headings_is_asked_under_them(in_tmp: Path) -> None:
    (in_tmp / "axolotl_configs/mine").mkdir(parents=True)
    (in_tmp / "axolotl_configs/mine/dpo.yaml").write_text(
        f"plugins: [{GUARD}]\nbase_model: org/model\n"
        "datasets: [{path: data/mine/dpo, type: prompt_strategies.iir_dpo}]\n"
    )
    assert find_stage("mine", "base").headings is IIR


@pytest.mark.parametrize(
    ("recipe", "stage", "expected"),
    [
        ("none", "base", "RECIPE=none: there is no such recipe"),
        ("aog-8b", "rlhf", "STAGE=rlhf: there is no such stage; known are base, sft, dpo"),
        ("aog-8b", "sft", "runs/aog-8b/sft: no finished run; run `make sft RECIPE=aog-8b` first"),
    ],
)
def test_what_is_not_there_is_named(recipes: Path, recipe: str, stage: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected.replace("(", r"\(")):
        find_stage(recipe, stage)


@pytest.mark.parametrize(
    "changed",
    ["sft/adapter_model.safetensors", "sft/chat_template.jinja", "sft/tokenizer.json", "base/model.safetensors"],
)
def test_another_byte_of_weights_or_prompt_is_another_model(tmp_path: Path, changed: str) -> None:
    adapter = adapter_on_a_base(tmp_path)
    before = fingerprint(str(adapter))
    assert fingerprint(str(adapter)) == before
    (tmp_path / changed).write_bytes(b"other")
    assert fingerprint(str(adapter)) != before


@pytest.mark.parametrize("file", ["README.md", "run.json", "debug.log"])
def test_what_the_answers_do_not_depend_on_is_not_looked_at(tmp_path: Path, file: str) -> None:
    adapter = adapter_on_a_base(tmp_path)
    before = fingerprint(str(adapter))
    (tmp_path / "sft" / file).write_text("new")
    assert fingerprint(str(adapter)) == before


@pytest.mark.parametrize(("commit", "expected"), [("abc123", "org/model@abc123"), ("", "org/model@unknown")])
def test_a_hub_model_is_named_with_its_commit_if_that_is_known(
    monkeypatch: pytest.MonkeyPatch, commit: str, expected: str
) -> None:
    monkeypatch.setattr("rabbit_ko.hub.hub_commit", lambda *_: commit)
    assert fingerprint("org/model") == expected


def test_a_trained_stage_is_asked_in_the_prompt_of_its_training(recipes: Path) -> None:
    finish("sft")
    Path("runs/aog-8b/sft/run.json").write_text('{"config": {"datasets": [{"type": "prompt_strategies.iir"}]}}')
    trained, base = (find_stage("aog-8b", name) for name in ("sft", "base"))
    assert (trained.headings, base.headings) == (IIR, QIR)
    assert (trained.chat_template, base.chat_template) == (chat_template(IIR), chat_template(QIR))
    assert trained.prompt != base.prompt


def test_an_adapter_whose_base_is_gone_is_one_line(tmp_path: Path) -> None:
    adapter = adapter_on_a_base(tmp_path)
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(UserError, match="base: neither a folder that is there nor a name on the hub"):
        fingerprint(str(adapter))


def test_a_base_that_is_not_made_yet_is_one_line(recipes: Path) -> None:
    with pytest.raises(
        UserError, match=r"runs/smoke/base: neither a folder .* is made when its first stage is trained"
    ):
        fingerprint(find_stage("smoke", "base").model)


def test_the_latest_stage_is_the_last_method_that_is_trained(recipes: Path) -> None:
    with pytest.raises(UserError, match="runs/aog-8b/sft: no finished run; run `make sft RECIPE=aog-8b` first"):
        find_stage("aog-8b")
    for stage in ("sft", "dpo"):
        finish(stage)
        assert find_stage("aog-8b") == find_stage("aog-8b", stage)


def test_what_a_config_repeats_for_older_readers_makes_no_other_model(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    make_models(smoke_tokenizer)
    adapter = MODELS["sft"] / ADAPTER_CONFIG
    config = json.loads(adapter.read_text())  # in which peft has the layers in no order, and a run's adapter has them
    adapter.write_text(json.dumps(config | {"target_modules": sorted(config["target_modules"])}))
    before = fingerprint(str(MODELS["sft"])), (MODELS["base"] / "config.json").read_bytes()
    for name in ("base", "sft"):
        make_portable(MODELS[name])
    assert (MODELS["base"] / "config.json").read_bytes() != before[1]
    assert fingerprint(str(MODELS["sft"])) == before[0]
    config = json.loads((MODELS["base"] / "config.json").read_text())
    (MODELS["base"] / "config.json").write_text(json.dumps(config | {"rope_theta": 5e5}))
    assert fingerprint(str(MODELS["sft"])) != before[0]
