"""Native chat templates that are written anew in plain Jinja render what they did, in training's engine too."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from prompt_strategies.messages import Messages
from prompt_strategies.native_template import known_templates
from rabbit_ko.export._jinja_template import jinja_template
from rabbit_ko.export._keys import CHAT_TEMPLATE, TOOL_TEMPLATE, model_keys
from rabbit_ko.export._pattern import find_pattern
from tests.prompt_strategies.conversations import system, user
from tests.rabbit_ko.export.stages import MERGED, speak_natively, stage_of
from tests.rabbit_ko.export.test_go_template import REGULAR, prompts_of, with_template


@pytest.mark.parametrize("name", REGULAR)
def test_it_renders_what_the_chat_template_does(name: str, native: Callable[[str], PreTrainedTokenizerBase]) -> None:
    tokenizer = native(name)
    pattern = find_pattern(tokenizer)
    plain = with_template(tokenizer, jinja_template(pattern, tokenizer, has_bos=False))
    for messages in prompts_of(pattern):
        for answers in (True, False):
            expected = _render(tokenizer, messages, answers).removeprefix(tokenizer.bos_token or "")
            assert _render(plain, messages, answers) == expected


def _render(tokenizer: PreTrainedTokenizerBase, messages: Messages, answers: bool) -> str:
    text = tokenizer.apply_chat_template([*messages], tokenize=False, add_generation_prompt=answers)
    assert isinstance(text, str)
    return text


def test_characters_beyond_the_first_plane_stay_as_they_are(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    around = (
        "{% for m in messages %}🐰{{ m.content }}👩\u200d💻{% endfor %}{% if add_generation_prompt %}🙂{% endif %}"
    )
    tokenizer = with_template(smoke_tokenizer, around)
    source = jinja_template(find_pattern(tokenizer), tokenizer, has_bos=False)
    assert "\\ud83" not in source
    rendered = _render(with_template(smoke_tokenizer, source), [system("짧게"), user("안녕?")], True)
    assert rendered == _render(tokenizer, [system("짧게"), user("안녕?")], True)


@pytest.mark.parametrize(("name", "knows_tools"), [("qwen_25", True), ("chatml", False)])
def test_a_template_that_knows_tools_stands_beside_the_plain_one(
    name: str, knows_tools: bool, smoke_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    spoken = deepcopy(smoke_tokenizer)
    spoken.chat_template = known_templates()[name]
    with stage_of(tmp_path, spoken) as stage:
        speak_natively(spoken.chat_template, ends=[1])
        keys = model_keys(stage, MERGED)
        assert ("tools" in str(keys[CHAT_TEMPLATE])) is False
        assert keys.get(TOOL_TEMPLATE) == (stage.chat_template if knows_tools else None)
