"""The text of the prompt, byte for byte, and the chat template's agreement with it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from prompt_strategies.chat_template import chat_template
from prompt_strategies.messages import Messages
from prompt_strategies.template import IIR, QIR, Template, render_answer, render_prompt

GOLDEN = Path(__file__).parents[1] / "golden"
SYSTEM_PROMPT = {
    "role": "system",
    "content": "친절한 챗봇으로서 상대방의 요청에 최대한 자세하고 친절하게 답하자.",
}
FIBONACCI = {
    "role": "user",
    "content": "피보나치 수열이 뭐야? 그리고 피보나치 수열에 대해 파이썬 코드를 짜줘볼래?",
}
ANSWER = {
    "role": "assistant",
    "content": "피보나치 수열은 앞의 두 수를 더해 다음 수를 만드는 수열입니다.\n\n```python\n"
    "def fibonacci(n):\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n```",
}
FOLLOW_UP = {"role": "user", "content": "더 빠른 알고리즘은 없을까?"}

content = st.text(min_size=1).filter(str.strip)


@st.composite
def prompts(draw: st.DrawFn) -> list[dict[str, str]]:
    """Messages of any content that end with the user's question."""
    system = draw(st.lists(st.text(), max_size=1))
    exchanges = draw(st.lists(st.tuples(content, content), max_size=3))
    turns = [
        {"role": role, "content": text}
        for exchange in exchanges
        for role, text in zip(("user", "assistant"), exchange, strict=True)
    ]
    return [
        *({"role": "system", "content": text} for text in system),
        *turns,
        {"role": "user", "content": draw(content)},
    ]


@pytest.mark.parametrize(
    ("golden", "template", "messages"),
    [
        ("aog_single_turn.txt", QIR, [SYSTEM_PROMPT, FIBONACCI]),
        ("aog_two_turns.txt", QIR, [SYSTEM_PROMPT, FIBONACCI, ANSWER, FOLLOW_UP]),
        ("iir_two_turns.txt", IIR, [SYSTEM_PROMPT, FIBONACCI, ANSWER, FOLLOW_UP]),
    ],
)
def test_prompt_is_the_golden_text(golden: str, template: Template, messages: Messages) -> None:
    assert render_prompt(template, messages).encode() == (GOLDEN / golden).read_bytes()


def test_instruction_is_absent_where_there_is_none_or_a_blank_one() -> None:
    expected = f"### Question:\n{FIBONACCI['content']}\n\n### Response:\n"
    assert render_prompt(QIR, [FIBONACCI]) == expected
    assert render_prompt(QIR, [{"role": "system", "content": " \n"}, FIBONACCI]) == expected


def test_contents_are_stripped_and_braces_in_them_stay() -> None:
    question = {"role": "user", "content": "\n  {user} 는 뭐야? {0} %s \t\n"}
    assert render_prompt(QIR, [question]) == "### Question:\n{user} 는 뭐야? {0} %s\n\n### Response:\n"
    assert render_answer({"role": "assistant", "content": "\n\n 답 \n"}) == "답"


@pytest.mark.parametrize("template", [QIR, IIR])
@given(messages=prompts())
def test_chat_template_renders_the_same_prompt(
    smoke_tokenizer: PreTrainedTokenizerBase, template: Template, messages: Messages
) -> None:
    rendered = smoke_tokenizer.apply_chat_template(
        messages, chat_template=chat_template(template), add_generation_prompt=True, tokenize=False
    )
    assert rendered == f"{smoke_tokenizer.bos_token}{render_prompt(template, messages)}"


def test_chat_template_ends_an_answer_as_it_is_trained(smoke_tokenizer: PreTrainedTokenizerBase) -> None:
    rendered = smoke_tokenizer.apply_chat_template([SYSTEM_PROMPT, FIBONACCI, ANSWER], tokenize=False)
    prompt = render_prompt(QIR, [SYSTEM_PROMPT, FIBONACCI])
    assert rendered == f"{smoke_tokenizer.bos_token}{prompt}{ANSWER['content']}{smoke_tokenizer.eos_token}"


def test_chat_template_joins_parts_and_takes_a_developer_for_system(
    smoke_tokenizer: PreTrainedTokenizerBase,
) -> None:
    parts = [{"type": "text", "text": "\n 피보나치"}, {"type": "text", "text": " 수열이 뭐야? "}]
    developer = {"role": "developer", "content": [{"type": "text", "text": "짧게."}]}
    rendered = smoke_tokenizer.apply_chat_template(
        [developer, {"role": "user", "content": parts}], add_generation_prompt=True, tokenize=False
    )
    plain = [{"role": "system", "content": "짧게."}, {"role": "user", "content": "피보나치 수열이 뭐야?"}]
    assert rendered == f"{smoke_tokenizer.bos_token}{render_prompt(QIR, plain)}"


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        [],
        {},
        {"type": "text", "text": "x"},
        ["x"],
        [{"type": "text"}],
        [{"type": "text", "text": None}],
        [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "x"}}],
    ],
)
@pytest.mark.parametrize("role", ["system", "user"])
def test_chat_template_refuses_what_is_no_text(
    smoke_tokenizer: PreTrainedTokenizerBase, role: str, content: Any
) -> None:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "x"}, {"role": "user", "content": "x"}]
    messages[role == "user"]["content"] = content
    with pytest.raises(TemplateError, match="content must be text"):
        smoke_tokenizer.apply_chat_template(messages, tokenize=False)
    del messages[role == "user"]["content"]
    with pytest.raises(TemplateError, match="content must be text"):
        smoke_tokenizer.apply_chat_template(messages, tokenize=False)


@pytest.mark.parametrize(
    "messages",
    [
        [ANSWER],
        [FIBONACCI, FOLLOW_UP],
        [FIBONACCI, SYSTEM_PROMPT],
        [FIBONACCI, ANSWER, ANSWER],
        [{"role": "tool", "content": "x"}],
    ],
)
def test_chat_template_refuses_roles_out_of_order(
    smoke_tokenizer: PreTrainedTokenizerBase, messages: Messages
) -> None:
    with pytest.raises(TemplateError, match="user and assistant in turn"):
        smoke_tokenizer.apply_chat_template(messages, tokenize=False)
