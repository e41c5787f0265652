"""No code of others runs unless a stage's YAML says so by a key of its own."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import ValidationError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from axolotl_plugins.checks.config import GuardArgs, check_config
from axolotl_plugins.checks.model_files import (
    TRUST,
    accept_any_width,
    check_foreign_code,
    check_model,
    loading,
    trusts,
)
from rabbit_ko.errors import UserError
from rabbit_ko.recipes import GUARD, Recipe
from rabbit_ko.training.run import Launch, check_before, parse_overrides
from tests.stages import put_weights

pytestmark = pytest.mark.hostile

FOREIGN: dict[str, dict[str, Any]] = {
    "trust_remote_code": {"trust_remote_code": True},
    "trust_remote_code as text": {"trust_remote_code": "true"},
    "datasets[0].trust_remote_code": {"datasets": [{"path": "org/rows", "trust_remote_code": True}]},
    "test_datasets[0].trust_remote_code": {"test_datasets": [{"path": "org/rows", "trust_remote_code": 1}]},
    "model_kwargs.trust_remote_code": {"model_kwargs": {"trust_remote_code": True}},
    "model_kwargs.trust_remote_code as text": {"model_kwargs": {"trust_remote_code": "false"}},
    "plugins: evil.Plugin": {"plugins": [GUARD, "evil.Plugin"]},
    "plugins: axolotl_evil.Plugin": {"plugins": [GUARD, "axolotl_evil.Plugin"]},
    "trainer_cls: evil.Trainer": {"trainer_cls": "evil.Trainer"},
    "trl.reward_funcs: evil.reward": {"trl": {"reward_funcs": ["evil.reward"]}},
    "attn_implementation: evil/kernel": {"attn_implementation": "evil/kernel"},
}


@pytest.mark.parametrize("place", FOREIGN)
def test_code_of_others_is_refused_unless_a_key_of_its_own_says_so(place: str) -> None:
    with pytest.raises(
        UserError, match=r"runs code that is not this project's.*`guard_trust_remote_code: true`"
    ) as raised:
        check_foreign_code(FOREIGN[place])
    assert str(raised.value).startswith(f"{place.removesuffix(' as text')}: ")
    check_foreign_code({**FOREIGN[place], TRUST: True})


@pytest.mark.parametrize(
    "config",
    [
        {"trust_remote_code": False, "plugins": [GUARD, "axolotl.integrations.liger.LigerPlugin"]},
        {"trust_remote_code": "false", "attn_implementation": "kernels-community/flash-attn2"},
        {"trainer_cls": "axolotl_plugins.dpo_trainer.Trainer", "model_kwargs": {}},
    ],
)
def test_what_is_of_this_project_or_axolotl_needs_no_key(config: dict[str, Any]) -> None:
    check_foreign_code(config)


ODD = ["0 ", " true", "", "x", "None", "null", "ｙes", "-1", "2", 2, -1, 0.5, float("nan"), [], [True], {}, (), "1.0"]
SPELLED = ["true", "yes", "y", "t", "on", "1", "false", "no", "n", "f", "off", "0"]


@pytest.mark.parametrize(
    "value",
    [True, False, 0, 1, 0.0, 1.0, *SPELLED, *map(str.upper, SPELLED), *map(str.title, SPELLED), *ODD],
    ids=repr,
)
def test_the_key_is_what_the_guards_schema_makes_of_it_or_is_refused(value: object) -> None:
    try:
        expected = GuardArgs.model_validate({TRUST: value}).guard_trust_remote_code
    except ValidationError:
        with pytest.raises(UserError, match=f"{TRUST}: .* is neither true nor false"):
            trusts({TRUST: value})
        return
    assert trusts({TRUST: value}) is expected
    assert not trusts({})
    assert not trusts({TRUST: None})


@pytest.mark.parametrize("value", ["No", "n", "OFF", "f", "F"])
def test_no_spelling_of_no_lets_code_run(value: str) -> None:
    with pytest.raises(UserError, match="runs code that is not this project's"):
        check_foreign_code({"trust_remote_code": True, TRUST: value})


@pytest.mark.usefixtures("smoke_recipe")
@pytest.mark.parametrize("override", ["--trust-remote-code=true", "--trust-remote-code", "--plugins=evil.Plugin"])
def test_an_override_is_refused_before_axolotl_starts(override: str) -> None:
    with pytest.raises(
        UserError, match=r"^axolotl_configs/smoke/sft\.yaml: (trust_remote_code|plugins: evil\.Plugin): runs"
    ):
        check_before(Recipe("smoke"), "sft", Launch([override]))
    assert parse_overrides([override])


@pytest.mark.usefixtures("smoke_recipe", "guard_on_duty")
def test_the_guard_itself_refuses_it_where_axolotl_is_called_by_hand() -> None:
    config = yaml.safe_load(Path("axolotl_configs/smoke/sft.yaml").read_text(encoding="utf-8"))
    with pytest.raises(UserError, match=r"^trust_remote_code: runs code"):
        check_config({**config, "trust_remote_code": True})
    check_config({**config, "trust_remote_code": True, TRUST: True})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "modeling.Model"}}),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "modeling.Model"}}}),
        ("config.json", {"_attn_implementation_internal": "evil/kernel"}),
        ("config.json", {"attn_implementation": {"text_config": "evil/kernel"}}),
        ("config.json", {"keypoint_detector_config": {"trust_remote_code": True}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenizing.Tokenizer", None]}}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "processing.Processor"}}),
        ("adapter_config.json", {"auto_mapping": {"parent_library": "evil", "base_model_class": "Model"}}),
        ("adapter_config.json", {"megatron_config": {"x": 1}, "megatron_core": "evil"}),
    ],
)
def test_a_model_that_names_code_is_refused_unless_it_is_trusted(
    tmp_path: Path, name: str, content: dict[str, Any]
) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{name}: .*: names code that would run"):
        check_model(tmp_path)
    check_model(tmp_path, trusted=True)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "adapter_model.bin", "model.pt", "pytorch_model-00001-of-00002.bin"]
)
def test_pickled_weights_are_refused_where_there_are_no_others(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match=rf"{name}: may run code where it is loaded; save the weights as safetensors"):
        check_model(tmp_path, trusted=True)
    put_weights(tmp_path / "model.safetensors")
    check_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"peft_type": "VERA"}, "peft_type: VERA, and runs of this project leave LORA"),
        ({"peft_type": ["LORA"]}, "peft_type: .* is none"),
        ({"peft_type": "LORA", "r": "8"}, "r: 8 is none"),
    ],
)
def test_an_adapter_of_another_kind_is_named(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"adapter_config.json: {said}"):
        check_model(tmp_path)


def test_a_part_that_an_index_names_and_is_not_there_is_named(tmp_path: Path) -> None:
    index = {"weight_map": {"layer": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"the part model-00001-of-00002\.safetensors is missing"):
        check_model(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_file_that_git_has_not_downloaded_is_named_with_the_command_that_does(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(UserError, match=rf"{name}: a pointer of git-lfs .*; `git lfs pull` brings that$"):
        check_model(tmp_path)


class Panic(BaseException):
    """What a library in Rust raises."""


@pytest.mark.parametrize("error", [Panic("x"), RecursionError("x"), KeyError("x"), MemoryError("x")])
def test_whatever_a_library_raises_where_it_loads_is_one_line(tmp_path: Path, error: BaseException) -> None:
    with (
        pytest.raises(UserError, match=r"the model cannot be loaded: .*; copy or download it again"),
        loading("the model cannot be loaded", tmp_path),
    ):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), UserError("x")])
def test_what_is_no_fault_of_a_file_passes(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), loading("the model cannot be loaded", tmp_path):
        raise error


def test_a_llama_whose_heads_do_not_divide_its_width_is_loaded_and_runs(
    tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    """As Kanana's, whose config transformers 5 refuses, and with it the tokenizer beside it."""
    smoke_tokenizer.save_pretrained(tmp_path)
    sizes = {"hidden_size": 28, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16}
    config = {"model_type": "llama", "vocab_size": 99, "intermediate_size": 32, "num_hidden_layers": 1, **sizes}
    (tmp_path / "config.json").write_text(json.dumps(config))
    accept_any_width()
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    assert model(input_ids=torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, 99)
    assert AutoTokenizer.from_pretrained(tmp_path).eos_token == smoke_tokenizer.eos_token
