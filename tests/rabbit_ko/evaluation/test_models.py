"""Evaluation asks what training asked: the same ids for a conversation, whatever the base's tokenizer brings."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from prompt_strategies.template import QIR, render_prompt
from prompt_strategies.tokens import encode_prompts
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.models import load_tokenizer
from rabbit_ko.evaluation.stages import Stage
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


def test_a_bare_text_has_one_bos_in_front_where_there_is_a_bos(
    stage: Stage, tokenizer: PreTrainedTokenizerBase
) -> None:
    load_tokenizer(stage).save_pretrained("saved")
    for loaded in (load_tokenizer(stage), load_tokenizer(Stage("smoke", "base", "saved"))):
        assert loaded("대한민국").input_ids == encode_prompts(tokenizer, ["대한민국"])[0]


def test_a_model_that_is_not_there_is_one_line(in_tmp: Path) -> None:
    with pytest.raises(UserError, match="runs/none: the tokenizer cannot be loaded"):
        load_tokenizer(Stage("smoke", "sft", "runs/none"))
