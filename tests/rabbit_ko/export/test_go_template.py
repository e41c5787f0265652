"""Go templates render what Jinja's do: in Go's own engine, with the values that Ollama gives."""

import sys
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from prompt_strategies.chat_template import chat_template
from prompt_strategies.messages import Messages
from prompt_strategies.template import TEMPLATES, Template
from rabbit_ko.errors import UserError
from rabbit_ko.export._go_template import go_template
from rabbit_ko.export._pattern import Pattern, find_pattern
from tests.conftest import hostile_rows
from tests.prompt_strategies.conversations import MULTI_TURN, answer, system, user
from tests.prompt_strategies.native_templates import DROPS_SYSTEM, MAKERS
from tests.rabbit_ko.export.go_engine import GoRender

OWN = {name: chat_template(template) for name, template in TEMPLATES.items() if isinstance(template, Template)}
# They take thoughts out of earlier answers, and Command A's write an empty system message in another way.
IRREGULAR = (
    *("command_a", "command_a_rag", "command_a_tool_use", "deepseek_v3", "exaone4", "gemma4", "gemma4_unified"),
    *("qwen3", "qwen3_own", "qwen3_5"),
)
REGULAR = sorted({*MAKERS} - {*IRREGULAR})
TEXTS = (
    "안녕하세요?",
    " \t앞뒤\r\n공백 \n\n",
    "한 줄\r\n두 줄\r\n",
    '{{ .System }} {{ template "strip" . }} {{- end }} }} {%- raw %} {# #}',
    '"따옴표" """셋""" `역따옴표` \\n \\u0041 \\',
    "👩\u200d👩\u200d👧 \u1112\u1161\u11ab\u1100\u1173\u11af é\u0301 \ufeff끝",
    "\u00a0\u3000\u2003줄\u2028바꿈\u0085\x1c",
    "<b>&amp; 100% %s %!d(MISSING) $1 ${x} @user @end",
    "\x00\x07\x7f\u200b",
)


@pytest.fixture(params=[*OWN, *REGULAR])
def spoken(
    request: pytest.FixtureRequest,
    smoke_tokenizer: PreTrainedTokenizerBase,
    native: Callable[[str], PreTrainedTokenizerBase],
) -> PreTrainedTokenizerBase:
    """A tokenizer that has a template of this project's, or one of others'."""
    if request.param not in OWN:
        return native(request.param)
    return with_template(smoke_tokenizer, OWN[request.param])


def with_template(tokenizer: PreTrainedTokenizerBase, template: str) -> PreTrainedTokenizerBase:
    """Return a copy of a tokenizer with another chat template."""
    copy = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, **tokenizer.special_tokens_map)
    copy.chat_template = template
    return copy


def test_go_renders_what_jinja_does(spoken: PreTrainedTokenizerBase, go_render: GoRender) -> None:
    pattern = find_pattern(spoken)
    prompts = prompts_of(pattern)
    assert go_render(go_template(pattern), prompts) == [_jinja(spoken, each) for each in prompts]


def prompts_of(pattern: Pattern) -> list[Messages]:
    """Return the prompts that a template takes."""
    return [each for each in _prompts() if pattern.told or each[0]["role"] != "system"]


def _prompts() -> Iterator[Messages]:
    """Prompts of one to three turns, with each text in each place, and without and with a system message."""
    texts = [*TEXTS, *(text for text, _ in hostile_rows())]
    systems: list[str | None] = [None, "", " \n\u3000", *texts[: len(TEXTS)]]
    for at, told in product(range(len(texts)), systems[:4]):
        yield from _turns(texts, at, told)
    for told in systems[4:]:
        yield from _turns(texts, 0, told)
    yield [*MULTI_TURN[:4]]


def _turns(texts: list[str], at: int, told: str | None) -> Iterator[Messages]:
    said = [texts[(at + place) % len(texts)] for place in range(5)]
    turns = [(answer if place % 2 else user)(text) for place, text in enumerate(said)]
    for length in (1, 3, 5):
        yield [*([] if told is None else [system(told)]), *turns[:length]]


def _jinja(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> str:
    text = tokenizer.apply_chat_template([*messages], tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    return text.removeprefix(tokenizer.bos_token or "")


@pytest.mark.parametrize("name", OWN)
def test_every_white_space_that_jinja_strips_is_stripped(
    name: str, smoke_tokenizer: PreTrainedTokenizerBase, go_render: GoRender
) -> None:
    tokenizer = with_template(smoke_tokenizer, OWN[name])
    spaces = [character for character in map(chr, range(sys.maxunicode)) if character.isspace()]
    near = ["\u200b", "\u180e", "\ufeff", "\u2800", "\x00", "가", "é", "\u00a1", "\u0080"]
    prompts = [[system(f"{each}답{each}"), user(f"{each}{each}"), answer(each), user(f"가{each}나{each}{each}")]
               for each in (*spaces, *near)]  # fmt: skip
    assert go_render(go_template(find_pattern(tokenizer)), prompts) == [_jinja(tokenizer, each) for each in prompts]


def test_a_long_text_is_rendered_in_no_time(smoke_tokenizer: PreTrainedTokenizerBase, go_render: GoRender) -> None:
    prompts = [[user("\n" * 20_000 + "가" * 100_000 + " " * 20_000)]]
    assert go_render(go_template(find_pattern(smoke_tokenizer)), prompts) == [_jinja(smoke_tokenizer, prompts[0])]


@pytest.mark.parametrize("name", [*IRREGULAR, "raises", "by place", "twice"])
def test_a_template_that_does_more_than_to_write_contents_has_none_in_go(
    name: str, smoke_tokenizer: PreTrainedTokenizerBase, native: Callable[[str], PreTrainedTokenizerBase]
) -> None:
    mine = {
        "raises": "{{ raise_exception('no') }}",
        "by place": "{% for m in messages %}{{ loop.index }}: {{ m.content }}\n{% endfor %}",
        "twice": "{% for m in messages %}{{ m.content }}{% endfor %}{{ messages[0].content }}",
    }
    tokenizer = with_template(smoke_tokenizer, mine[name]) if name in mine else native(name)
    with pytest.raises(UserError):
        find_pattern(tokenizer)


@pytest.mark.parametrize("name", [name for name in DROPS_SYSTEM if DROPS_SYSTEM[name] == "REFUSED"])
def test_a_system_message_is_refused_where_jinja_refuses_it(
    name: str, native: Callable[[str], PreTrainedTokenizerBase], go_render: GoRender
) -> None:
    template = go_template(find_pattern(native(name)))
    [refused, taken] = go_render(template, [[system("짧게"), user("안녕?")], [user("안녕?")]])
    assert refused.startswith("ERROR")
    assert "this model takes no system message" in refused
    assert taken == _jinja(native(name), [user("안녕?")])


def test_an_answer_at_the_end_is_continued(spoken: PreTrainedTokenizerBase, go_render: GoRender) -> None:
    prompt: list[dict[str, Any]] = [user("안녕?"), answer("네."), user("뭐 해?")]
    [rendered] = go_render(go_template(find_pattern(spoken)), [[*prompt, answer("저는")]])
    assert rendered == _jinja(spoken, prompt) + "저는"


def test_what_ollama_leaves_of_an_exchange_is_not_in_the_prompt(
    spoken: PreTrainedTokenizerBase, go_render: GoRender
) -> None:
    [rendered] = go_render(go_template(find_pattern(spoken)), [[answer("네."), user("안녕?")]])
    assert rendered == _jinja(spoken, [user("안녕?")])
