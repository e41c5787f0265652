"""Weights are counted from a config as the libraries count them in a model."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, PreTrainedModel

from axolotl_plugins.checks.model_files import accept_any_width
from rabbit_ko.errors import UserError
from rabbit_ko.planning.stage import KNOWN, SHAPES, ModelShape, load_shape

FILES = sorted(SHAPES.glob("*.json"))


def shape_of(path: Path) -> ModelShape:
    """The shape of a known base by its file."""
    return load_shape(next(base for base, name in KNOWN.items() if name == path.stem))


def read_config(path: Path) -> PreTrainedConfig:
    """A file as transformers reads it."""
    accept_any_width()
    return AutoConfig.for_model(**json.loads(path.read_text(encoding="utf-8")))


def on_meta(path: Path) -> PreTrainedModel:
    """The model of a config, without memory for its weights."""
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(read_config(path))
        return model


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_weights_are_those_of_the_model_in_transformers(path: Path) -> None:
    assert shape_of(path).parameters == on_meta(path).num_parameters()


@pytest.mark.parametrize("rank", [8, 32])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lora_weights_are_those_of_peft(path: Path, rank: int) -> None:
    config = LoraConfig(r=rank, target_modules="all-linear")
    model = get_peft_model(on_meta(path), config, low_cpu_mem_usage=True)
    assert shape_of(path).lora_parameters(rank) == model.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize(
    ("name", "billions"), [("llama-3-8b", 8.03), ("llama-3.2-3b", 3.21), ("kanana-2.1b", 2.09), ("qwen3-4b", 4.02)]
)
def test_the_models_have_the_sizes_that_they_are_known_by(name: str, billions: float) -> None:
    assert round(shape_of(SHAPES / f"{name}.json").parameters / 1e9, 2) == billions


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_configs_keep_the_position_encoding(path: Path) -> None:
    rope = read_config(path).rope_parameters
    assert rope["rope_theta"] == (1_000_000.0 if "qwen3" in path.stem else 500_000.0)
    assert rope["rope_type"] == ("llama3" if "3.2" in path.stem else "default")


def test_every_known_base_has_its_file() -> None:
    assert {load_shape(base).name for base in KNOWN} == {path.stem for path in FILES}


def test_a_folder_with_a_config_is_a_shape(tmp_path: Path) -> None:
    LlamaConfig(vocab_size=100, hidden_size=64, num_attention_heads=4, num_hidden_layers=2).save_pretrained(tmp_path)
    shape = load_shape(str(tmp_path))
    assert (shape.vocab_size, shape.head_dim, shape.kv_heads) == (100, 16, 4)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("org/unknown", "org/unknown: no config.json there, and its shape is not in rabbit_ko/planning/shapes"),
        ("runs/smoke/base", "`make sft` makes the base of a recipe that has its own"),
    ],
)
def test_an_unknown_base_is_one_line(in_tmp: Path, base: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_shape(base)


@pytest.mark.parametrize("text", ["{", '{"model_type": "gpt2"}', '{"model_type": "llama"}', "[]"])
def test_a_config_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        UserError,
        match=r"(not the config of a model of the kinds llama, mistral, qwen3|damaged: |holds no JSON object)",
    ):
        load_shape(str(tmp_path))
