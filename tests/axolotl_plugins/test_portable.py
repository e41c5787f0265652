"""What is saved beside weights is read the same as before by this transformers, and by those before it at all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from axolotl_plugins.portable import make_portable
from rabbit_ko.errors import UserError
from tests.conftest import hostile_rows

TEXTS = [text for text, _ in hostile_rows()] + [
    " 앞 , 뒤 . ! ? don 't\n",
    "",
    "👩\u200d👧 \u1112\u1161\u11ab\u3000\x00",
]
TINY = {
    **{"vocab_size": 97, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "pad_token_id": 0},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 256},
}
DEFAULT = {"rope_type": "default", "rope_theta": 5e5}
LLAMA_3 = {
    **{"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LINEAR = {"rope_type": "linear", "factor": 8.0}
LONG = {"long_factor": [1.5] * 8, "short_factor": [1.1] * 8}
PHI_LONG = {"rope_type": "longrope", **LONG, "original_max_position_embeddings": 64, "partial_rotary_factor": 1.0}
BY_LAYER = {"full_attention": {**LINEAR, "rope_theta": 1e6}, "sliding_attention": {**DEFAULT, "rope_theta": 2e4}}
# A type of model, what it says of its rotary embeddings, and where transformers 4 looks for that.
ROPE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("llama", DEFAULT, {"rope_theta": 5e5}),
    ("qwen2", DEFAULT, {"rope_theta": 5e5}),
    ("qwen3", DEFAULT, {"rope_theta": 5e5}),
    ("mistral", DEFAULT, {"rope_theta": 5e5}),
    ("gemma2", DEFAULT, {"rope_theta": 5e5}),
    ("llama", {**LLAMA_3, "rope_theta": 5e5}, {"rope_theta": 5e5, "rope_scaling": LLAMA_3}),
    ("exaone4", {**LLAMA_3, "rope_theta": 1e6}, {"rope_theta": 1e6, "rope_scaling": LLAMA_3}),
    ("qwen3", {**YARN, "rope_theta": 1e6}, {"rope_theta": 1e6, "rope_scaling": YARN}),
    ("glm4", {**DEFAULT, "partial_rotary_factor": 0.5}, {"rope_theta": 5e5, "partial_rotary_factor": 0.5}),
    (
        "phi3",
        {**PHI_LONG, "rope_theta": 1e4},
        {"rope_theta": 1e4, "partial_rotary_factor": 1.0, "rope_scaling": {"type": "longrope", **LONG}},
    ),
    ("olmo3", DEFAULT, {"rope_theta": None}),
    ("gemma3_text", BY_LAYER, {"rope_theta": 1e6, "rope_local_base_freq": 2e4, "rope_scaling": LINEAR}),
]


def test_a_tokenizer_is_read_the_same(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    before = AutoTokenizer.from_pretrained(tmp_path)
    make_portable(tmp_path)
    after = AutoTokenizer.from_pretrained(tmp_path)
    assert _facts(after) == _facts(before) == _facts(tokenizer)
    assert type(after) is type(before)


def _facts(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    ids = [tokenizer(text).input_ids for text in TEXTS]
    as_text = tokenizer(TEXTS, add_special_tokens=False, split_special_tokens=True).input_ids
    decoded = [tokenizer.decode(each, skip_special_tokens=skip) for each in ids for skip in (False, True)]
    special = [sorted(tokenizer.all_special_tokens), tokenizer.extra_special_tokens, tokenizer.chat_template]
    return [ids, as_text, decoded, special, tokenizer.eos_token, tokenizer.model_max_length, len(tokenizer)]


def test_a_chat_template_is_where_tgi_looks_for_it_too_and_the_file_is_what_counts(
    smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    smoke_tokenizer.save_pretrained(tmp_path)
    make_portable(tmp_path)
    file = tmp_path / "chat_template.jinja"
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["chat_template"] == file.read_text()
    file.write_text("another")
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == "another"


def test_a_tokenizer_says_nothing_that_transformers_4_refuses_or_reads_otherwise(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    make_portable(tmp_path)
    said = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert said["tokenizer_class"] in ("PreTrainedTokenizerFast", "Qwen2Tokenizer")
    assert said["clean_up_tokenization_spaces"] is False
    assert "extra_special_tokens" not in said  # an object, there
    assert said.get("additional_special_tokens", []) == tokenizer.extra_special_tokens


@pytest.mark.parametrize(("kind", "rope", "old"), ROPE)
def test_rotary_embeddings_are_where_transformers_4_and_5_look_for_them(
    kind: str, rope: dict[str, Any], old: dict[str, Any], tmp_path: Path
) -> None:
    model = _save(kind, rope, tmp_path)
    before = AutoConfig.from_pretrained(tmp_path).rope_parameters
    make_portable(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    assert {key: said.get(key) for key in ("rope_scaling", "torch_dtype", *old)} == {
        **{"rope_scaling": None, "torch_dtype": "float32"},
        **old,
    }
    assert before.items() <= AutoConfig.from_pretrained(tmp_path).rope_parameters.items()
    ids = torch.arange(200)[None] % 97
    with torch.inference_mode():
        assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(ids).logits, model(ids).logits)


def _save(kind: str, rope: dict[str, Any], folder: Path) -> Any:
    layers = {"layer_types": [*BY_LAYER], "sliding_window": 16} if kind in ("gemma3_text", "exaone4", "olmo3") else {}
    length = {"original_max_position_embeddings": 64} if kind == "phi3" else {}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **TINY, **layers, **length, rope_parameters=json.loads(json.dumps(rope)))
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder)
    return model


def test_a_models_config_within_another_is_changed_too_and_nothing_else(tmp_path: Path) -> None:
    text, other = {"model_type": "llama", "dtype": "bfloat16", "rope_parameters": DEFAULT}, {"dtype": "int8"}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": text, "quantization_config": other}))
    make_portable(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    changed = {**text, "torch_dtype": "bfloat16", "rope_theta": 5e5}
    assert said == {"text_config": changed, "quantization_config": other}


def test_once_is_enough_and_the_weights_stay_as_they_are(
    smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    smoke_tokenizer.save_pretrained(tmp_path)
    _save("llama", DEFAULT, tmp_path)
    saved = _contents(tmp_path)
    make_portable(tmp_path)
    once = _contents(tmp_path)
    make_portable(tmp_path)
    assert _contents(tmp_path) == once
    assert {name for name in saved if saved[name] != once[name]} == {"config.json", "tokenizer_config.json"}


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_missing_is_not_made_up(tmp_path: Path) -> None:
    make_portable(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match=r"config\.json"):
        make_portable(tmp_path)


def test_an_adapters_config_is_the_same_whatever_the_order_in_which_peft_has_its_layers(tmp_path: Path) -> None:
    written = set()
    for layers in (["q_proj", "v_proj", "k_proj"], ["v_proj", "k_proj", "q_proj"]):
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 8, "target_modules": layers}))
        make_portable(tmp_path)
        written.add((tmp_path / "adapter_config.json").read_text())
    [config] = written
    assert json.loads(config) == {"r": 8, "target_modules": ["k_proj", "q_proj", "v_proj"]}
    (tmp_path / "adapter_config.json").write_text(every := '{"target_modules": "all-linear"}')
    make_portable(tmp_path)
    assert (tmp_path / "adapter_config.json").read_text() == every
