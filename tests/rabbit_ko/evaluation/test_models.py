"""Evaluation asks what training asked: the same ids for a conversation, whatever the base's tokenizer brings."""

import json
from pathlib import Path

import pytest
import torch
from axolotl.utils.chat_templates import get_chat_template
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from prompt_strategies.native_renderer import NativeRenderer
from prompt_strategies.native_template import with_fixed_date
from prompt_strategies.renderer import renderer_for
from prompt_strategies.template import QIR, render_prompt
from prompt_strategies.tokens import encode_prompts, encode_rendered
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import encode_chat, load_stage, load_tokenizer
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.recipes import GUARD
from tests.conftest import ROOT

CONVERSATION = [
    {"role": "system", "content": "짧게 답하세요."},
    {"role": "user", "content": "수도는?"},
    {"role": "assistant", "content": "서울입니다."},
    {"role": "user", "content": " 인구는?\n"},
]


@pytest.fixture
def stage(in_tmp: Path, tokenizer: PreTrainedTokenizerBase) -> Stage:
    """A base whose tokenizer has another template, or none."""
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    tokenizer.save_pretrained(in_tmp / "base")
    (in_tmp / "base/chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    return Stage("smoke", "base", "base")


def test_a_prompt_has_the_ids_it_was_trained_with(stage: Stage, tokenizer: PreTrainedTokenizerBase) -> None:
    loaded = load_tokenizer(stage)
    ids = loaded.apply_chat_template(CONVERSATION, add_generation_prompt=True, return_dict=False)
    assert ids == encode_prompts(tokenizer, [render_prompt(QIR, CONVERSATION)])[0]


def test_a_bare_text_has_the_bos_that_the_tokenizer_adds_by_itself(
    stage: Stage, tokenizer: PreTrainedTokenizerBase
) -> None:
    load_tokenizer(stage).save_pretrained("saved")
    for loaded in (load_tokenizer(stage), load_tokenizer(Stage("smoke", "base", "saved"))):
        assert loaded("대한민국").input_ids == tokenizer("대한민국").input_ids


def test_a_prompt_has_one_bos_whether_or_not_the_tokenizer_adds_it(
    stage: Stage, tokenizer: PreTrainedTokenizerBase
) -> None:
    ids = encode_chat(load_tokenizer(stage), CONVERSATION)["input_ids"]
    assert ids.count(tokenizer.bos_token_id) == (0 if tokenizer.bos_token_id is None else 1)


NATIVE = (
    f"plugins: [{GUARD}]\nbase_model: base\ndatasets: [{{path: data/mine/sft, type: prompt_strategies.native}}]\n"
)


@pytest.fixture
def native(in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase) -> Path:
    """The YAML of a recipe whose base has another chat template than those that a test names, and EOS."""
    smoke_tokenizer.save_pretrained(in_tmp / "base")
    (in_tmp / "axolotl_configs/mine").mkdir(parents=True)
    (in_tmp / "axolotl_configs/mine/data.yaml").touch()
    file = in_tmp / "axolotl_configs/mine/sft.yaml"
    file.write_text(NATIVE, encoding="utf-8")
    return file


@pytest.mark.parametrize("template", ["llama3", "llama3_2_vision", "qwen3"])
def test_a_base_in_a_native_recipe_is_asked_as_it_would_be_trained(native: Path, template: str) -> None:
    chosen = f"chat_template: {template}\nspecial_tokens: {{eos_token: <|eot_id|>}}\n"
    native.write_text(NATIVE + chosen, encoding="utf-8")
    loaded = load_tokenizer(Stage("mine", "base", "base"))
    assert (loaded.eos_token, loaded.chat_template) == ("<|eot_id|>", with_fixed_date(get_chat_template(template)))
    renderer = renderer_for("prompt_strategies.native", loaded)
    ids = encode_chat(loaded, CONVERSATION)["input_ids"]
    assert isinstance(renderer, NativeRenderer)
    assert [ids] == encode_rendered(loaded, [renderer.render(CONVERSATION)])


def test_a_base_without_a_template_that_nobody_names_is_one_line(native: Path) -> None:
    (native.parents[2] / "base/chat_template.jinja").unlink()
    with pytest.raises(UserError, match="chat_template: missing, and the base's tokenizer has none") as raised:
        load_tokenizer(Stage("mine", "base", "base"))
    assert len(str(raised.value).splitlines()) == 1


def test_a_trained_stage_is_asked_in_the_template_that_its_run_saved(
    native: Path, smoke_tokenizer: PreTrainedTokenizerBase
) -> None:
    saved = with_fixed_date(get_chat_template("llama3_2_vision"))
    smoke_tokenizer.save_pretrained("runs/mine/sft")
    config = {"datasets": [{"type": "prompt_strategies.native_every_turn"}], "chat_template_jinja": saved}
    Path("runs/mine/sft/run.json").write_text(json.dumps({"config": config}), encoding="utf-8")
    stage = Stage("mine", "sft", "runs/mine/sft")
    assert (stage.headings, stage.chat_template) == (None, saved)
    prompt = load_tokenizer(stage).apply_chat_template(CONVERSATION[1:2], tokenize=False)
    assert "Today Date: 26 Jul 2024" in prompt


def test_a_conversation_that_the_template_refuses_is_one_line(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(UserError, match=r"^the chat template refuses this conversation: messages must be: system"):
        encode_chat(smoke_tokenizer, [CONVERSATION[1], CONVERSATION[3]])


def test_a_model_that_is_not_there_is_one_line(in_tmp: Path) -> None:
    with pytest.raises(UserError, match="runs/none: the tokenizer cannot be loaded"):
        load_tokenizer(Stage("smoke", "sft", "runs/none"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a model on a GPU has no threads to spare")
def test_a_small_model_that_is_loaded_leaves_the_other_threads_alone(
    in_tmp: Path, smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    smoke_tokenizer.save_pretrained("base")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(smoke_tokenizer), **sizes)).save_pretrained("base")
    stage = Stage("smoke", "base", "base")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        load_stage(stage)
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        monkeypatch.setattr("rabbit_ko.evaluation.models.SMALL", 1)
        load_stage(stage)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
