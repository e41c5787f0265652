"""Conversations in every form that people write them in come to the same messages, or to a reason."""

import json
import unicodedata
from contextlib import suppress
from typing import Any

import pytest

from dataset_builders.sources import SOURCES
from dataset_builders.sources._turns import turns_or_text
from rabbit_ko.errors import Rejected
from tests.soon import soon

CHAT = [{"role": "user", "content": "질문"}, {"role": "assistant", "content": "답"}]
SHAREGPT = [{"from": "human", "value": "질문"}, {"from": "gpt", "value": "답"}]


def read(value: Any, speaker: str = "user") -> list[tuple[str, str]]:
    """What a field with this value comes to, as (role, content)."""
    found = turns_or_text({"field": value}, "field", speaker)
    return [(message["role"], message["content"]) for message in found]


def messages_of(row: dict[str, Any], source: str = "messages") -> list[tuple[str, str]]:
    """The messages of an SFT row, as (role, content)."""
    row_: Any = SOURCES[source].convert(row, source)
    return [(message["role"], message["content"]) for message in row_.messages]


@pytest.mark.parametrize(
    "value",
    [
        CHAT,
        SHAREGPT,
        [CHAT[0], SHAREGPT[1]],
        json.dumps(CHAT, ensure_ascii=False),
        json.dumps(SHAREGPT, indent=2),
        f"  {json.dumps(CHAT)}\n",
        str(CHAT),
        "\n\nHuman: 질문\n\nAssistant: 답",
        "Human: 질문\n\nAssistant: 답",
        "User: 질문\n\nAssistant: 답\n",
        "Human: 질문\nAssistant: 답",
        "Human: 질문\nAI: 답",
        "\n\nhuman: 질문\n\nassistant: 답",
        "\n\nUser: 질문\n\nBot: 답\n\nBot:",
        "\n\nHuman: 질문\n \n Assistant : 답",
        "\r\n\r\nHuman：질문\r\n\r\nAssistant：답",
        "### Human: 질문### Assistant: 답",
        [{"from": None, "value": None, **CHAT[0]}, {"from": "gpt", "value": "답", "role": None, "content": None}],
        [{**CHAT[0], "tool_calls": None, "weight": None}, {**CHAT[1], "images": []}],
    ],
)
def test_a_conversation_is_the_same_in_every_form(value: Any) -> None:
    assert read(value) == [("user", "질문"), ("assistant", "답")]


@pytest.mark.parametrize(
    "value", [CHAT[1], SHAREGPT[1], json.dumps(CHAT[1]), "\n\nAssistant: 답", "Assistant: 답", "assistant: 답", "답"]
)
def test_an_answer_alone_is_one_in_every_form(value: Any) -> None:
    assert read(value, "assistant") == [("assistant", "답")]


@pytest.mark.parametrize("value", [None, float("nan"), "", " \n", [], "[]", "\u200b", "\u3164"])
def test_nothing_is_nothing_in_every_form(value: Any) -> None:
    assert read(value) == []


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3] 이 배열을 뒤집어 줘",
        '{"name": "kim"} 을 YAML로',
        '{"role": "admin"}',
        "[{]",
        "User: 이름을 적는 칸",
        "AI: 인공지능\n\n무엇의 줄임말인지 알려 줘",
        '[질문] 다음 줄을 설명해 줘: {"role": "user", "content": "가"}',
        "Assistant: 비서라는 직업",
        "사람: 안녕\n비서: 안녕",
    ],
)
def test_a_text_that_is_no_conversation_stays_one(text: str) -> None:
    assert read(text) == [("user", text)]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('[{"role": "user", "content": "가', "`field` looks like a list of turns, but cannot be read"),
        ("[{'role': 'user', 'content': '가'}\n {'role': 'assistant'}]", "looks like a list of turns"),
        ("머리말\n\nHuman: 가\n\nAssistant: 나", "`field` is a transcript that does not begin with a turn"),
        ("답입니다.\n\nHuman: 그리고?", "is a transcript that does not begin"),
        (json.dumps(json.dumps(CHAT)), "looks like a list of turns"),
        (json.dumps({"messages": CHAT}), "looks like a list of turns"),
        (json.dumps([CHAT]), "looks like a list of turns"),
        (f"array({CHAT}, dtype=object)", "looks like a list of turns"),
        (f"({CHAT[0]},)", "looks like a list of turns"),
        (f"\u200b{json.dumps(CHAT)}", "looks like a list of turns"),
        (f"```json\n{json.dumps(CHAT)}\n```", "looks like a list of turns"),
        (json.dumps(CHAT).replace("role", "Role"), "looks like a list of turns"),
        ('[{"message_id": "x", "role": "user", "content": "가', "looks like a list of turns"),
        ('{"role": "user", "content": "가"}\n{"role": "assistant", "content": "나"}', "looks like a list of turns"),
        ("\u200b\n\nHuman: 가\n\nAssistant:", "is a transcript that does not begin"),
        ("\n\nHuman: 가\nAssistant: 나\n\nHuman: 다", "`field` is a transcript with a speaker within a turn"),
        ("Human: 가\n\nAssistant: 나\nHuman: 다", "`field` is a transcript with a speaker within a turn"),
        (7, "`field` must be text or a list of turns, not int"),
        (["가"], "`field` must be made of objects with `role` and `content`"),
        ([{"role": "user"}], "`field` has a turn without `content`"),
        ([{"role": "user", "content": 5}], "`content` must be text, not int"),
        ([{"role": "user", "content": "\ud83d"}], "broken unicode"),
    ],
)
def test_what_cannot_be_read_is_named(value: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        read(value)


def test_the_last_empty_turn_of_a_transcript_is_none() -> None:
    assert read("\n\nHuman: 가\n\nAssistant:") == [("user", "가")]
    assert read("\n\nHuman: 가\n\n Assistant:") == [("user", "가")]
    assert read("\n\nHuman: 가") == read("Human: 가") == [("user", "가")]


@pytest.mark.parametrize("name", ["A\u0130", "A\u0131", "A\u017fsistant"])
def test_letters_that_are_alike_in_upper_case_name_no_speaker(name: str) -> None:
    assert read(f"Human: 질문\n\n{name}: 답\n\nAssistant:") == [("user", f"질문\n\n{name}: 답")]


def test_a_transcript_keeps_line_breaks_and_names_within_a_turn() -> None:
    transcript = "\n\nHuman: 번역해 줘\nHuman: hi\n\n둘째 문단\n\nAssistant: 안녕\nAssistant: 네"
    assert read(transcript) == [("user", "번역해 줘\nHuman: hi\n\n둘째 문단"), ("assistant", "안녕\nAssistant: 네")]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *((name, "system") for name in ("system", "developer", "SYSTEM")),
        *((name, "user") for name in ("user", "human", "prompter", " User ", "HUMAN\n")),
        *((name, "tool") for name in ("tool", "function", "observation", "tool_response", "Tool", "ipython")),
        *((name, "assistant") for name in ("assistant", "gpt", "chatgpt", "bot", "model", "ai", "AI", "Bot ")),
    ],
)
def test_the_usual_names_of_roles_are_read(name: str, role: str) -> None:
    assert read([{"role": name, "content": "가"}]) == read([{"from": name, "value": "가"}]) == [(role, "가")]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("사용자", "`사용자`"),
        ("narrator", "`narrator`"),
        ("a\nb\x1b[0m", r"`a␊b␛\[0m`"),
        ("가" * 99, f"`{'가' * 40}...`"),
        (7, "`7`"),
        (None, "`null`"),
        (["user"], r"`\[\"user\"\]`"),
        ("", "``"),
    ],
)
def test_an_unknown_role_is_named_and_cut(name: Any, shown: str) -> None:
    with pytest.raises(Rejected, match=f"unknown role {shown}$"):
        read([{"role": name, "content": "가"}])


def test_text_parts_are_joined_as_the_chat_template_joins_them() -> None:
    parts = [{"type": "text", "text": "가"}, {"type": "text", "text": " 나", "image_url": None}]
    assert read([{"role": "user", "content": parts}]) == [("user", "가 나")]
    assert read([{"from": "human", "value": parts[:1]}]) == [("user", "가")]
    assert read([{"role": "user", "content": json.dumps(parts)}]) == [("user", "가 나")]
    with pytest.raises(Rejected, match="`content` has a part of the type `image`"):
        read([{"role": "user", "content": json.dumps([*parts, {"type": "image"}])}])


@pytest.mark.parametrize(
    "said", ["[1, 2]", '[{"type": "개", "name": "바둑이"}]', '[{"type": "text"} 는 무엇?', "[참고] 글"]
)
def test_other_brackets_of_a_turn_are_its_text(said: str) -> None:
    assert read([{"role": "user", "content": said}]) == [("user", said)]


@pytest.mark.parametrize(
    "run", ["\n", " ", "\n ", "\r\n", "\\", '"', "[", "{", '"role', "\n\nHuman: ", "Human:\n", "### AI:"]
)
@pytest.mark.parametrize("start", ["", "Human: 질문\n\nAssistant: ", "[{", '{"role": "', "```", "\u200b"])
def test_no_text_takes_long(start: str, run: str) -> None:
    with soon(5), suppress(Rejected):
        read(start + run * 100_000 + "x")
    assert read([{"role": "user", "content": []}]) == [("user", "")]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "image_url", "image_url": {"url": "x"}}, "`content` has a part of the type `image_url`"),
        ({"type": "input_audio"}, "`content` has a part of the type `input_audio`"),
        ({"text": "가"}, "`content` has a part of the type `null`"),
        ("가", "`content` must be text, or a list of parts"),
        ({"type": "text", "text": 5}, "`text` must be text, not int"),
    ],
)
def test_other_parts_are_named(part: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        read([{"role": "user", "content": [{"type": "text", "text": "가"}, part]}])


@pytest.mark.parametrize("source", ["messages", "sharegpt"])
@pytest.mark.parametrize("value", [CHAT, SHAREGPT, json.dumps(CHAT), "Human: 질문\n\nAssistant: 답"])
def test_conversations_of_either_style_are_read_by_either_source(source: str, value: Any) -> None:
    field = SOURCES[source].required[0]
    assert messages_of({field: value}, source) == [("user", "질문"), ("assistant", "답")]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([{"role": "system", "content": "가"}, {"role": "system", "content": "나"}, *CHAT], "more than one system"),
        ([CHAT[0], {"role": "system", "content": "가"}, CHAT[1]], "a system message after the first turn"),
        ([CHAT[0], *CHAT], "roles out of order"),
        ([CHAT[0], CHAT[1], CHAT[1]], "roles out of order"),
        ([CHAT[0]], "no answer"),
        ([], "no answer"),
    ],
)
def test_conversations_out_of_order_say_how(given: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        messages_of({"messages": given})


def test_one_system_message_given_twice_is_one() -> None:
    system = {"role": "system", "content": "짧게"}
    assert messages_of({"system": "짧게", "messages": [system, *CHAT]})[0] == ("system", "짧게")
    with pytest.raises(Rejected, match="more than one system message"):
        messages_of({"system": "길게", "messages": [system, *CHAT]})


@pytest.mark.parametrize("content", ["친절하게\n", unicodedata.normalize("NFD", "친절하게"), " ", "\u200b"])
def test_system_messages_that_say_the_same_and_blank_ones_are_one(content: str) -> None:
    turns = [{"role": "system", "content": content}, *CHAT]
    [(role, said), *rest] = messages_of({"system": "친절하게", "messages": turns})
    assert (role, unicodedata.normalize("NFC", said).strip(), len(rest)) == ("system", "친절하게", 2)
    pair: Any = SOURCES["preference"].convert(
        {"system": "친절하게", "prompt": turns[:2], "chosen": "가", "rejected": "나"}, ""
    )
    assert [message["role"] for message in pair.prompt] == ["system", "user"]


@pytest.mark.parametrize("first", [[], [{"role": "system", "content": "친절하게"}]])
def test_a_greeting_costs_the_greeting_and_is_noted(first: list[Any]) -> None:
    greeting = {"role": "assistant", "content": "무엇을 도와드릴까요?"}
    row: Any = SOURCES["messages"].convert({"messages": [*first, greeting, *CHAT]}, "messages")
    assert row.messages == [*first, *CHAT]
    assert row.notes == ("greeting before the first question",)
    with pytest.raises(Rejected, match="roles out of order"):
        messages_of({"messages": [*first, greeting, greeting, *CHAT]})


@pytest.mark.parametrize(
    "value",
    [
        [["앞 질문", "앞 답"]],
        [("앞 질문", "앞 답")],
        '[["앞 질문", "앞 답"]]',
        [{"role": "user", "content": "앞 질문"}, {"role": "assistant", "content": "앞 답"}],
        '[{"from": "human", "value": "앞 질문"}, {"from": "gpt", "value": "앞 답"}]',
        "\n\nHuman: 앞 질문\n\nAssistant: 앞 답",
    ],
)
def test_a_history_comes_before_the_question(value: Any) -> None:
    row = {"instruction": "질문", "input": "글", "output": "답", "history": value}
    expected = [("user", "앞 질문"), ("assistant", "앞 답"), ("user", "질문\n\n글"), ("assistant", "답")]
    assert messages_of(row, "alpaca") == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("앞서 인사했다", "`history` must be a list, not str"),
        ([["하나"]], "`history` must be made of pairs of a question and an answer"),
        ([["하나", "둘", "셋"]], "`history` must be made of pairs"),
        (["하나", "둘"], "`history` must be made of objects"),
        ([["하나", None]], "empty turn"),
        ([["하나", 2]], "`history` must be text, not int"),
        ('[["첫 질문","첫 답"', "`history` looks like a list of turns, but cannot be read"),
        ("[['질문 1' '답 1']\n ['질문 2' '답 2']]", "`history` looks like a list of turns, but cannot be read"),
    ],
)
def test_a_history_that_cannot_be_used_is_named(value: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        messages_of({"instruction": "질문", "output": "답", "history": value}, "alpaca")


@pytest.mark.parametrize("value", [None, [], "", "[]", float("nan")])
def test_an_empty_history_is_none(value: Any) -> None:
    row = {"instruction": "질문", "output": "답", "history": value}
    assert messages_of(row, "alpaca") == [("user", "질문"), ("assistant", "답")]


@pytest.mark.parametrize(
    "filler", ["\u200b", "\u3164", "\u115f\u1160", "\uffa0", "\u00ad", "\u2060 \ufe0f", "\U000e0041"]
)
def test_a_text_of_invisible_characters_is_empty(filler: str) -> None:
    for row in ({"instruction": filler, "output": "답"}, {"instruction": "질문", "output": filler}):
        with pytest.raises(Rejected, match="empty turn"):
            messages_of(row, "alpaca")
    assert messages_of({"instruction": "질문", "input": filler, "output": "답"}, "alpaca")[0] == ("user", "질문")
    with pytest.raises(Rejected, match="empty turn"):
        messages_of({"messages": [{"role": "user", "content": filler}, CHAT[1]]})


def test_what_can_be_seen_keeps_its_joiners_but_no_byte_order_mark() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f"
    row = {"instruction": f"\ufeff{family}", "output": f"\u200b답{family}"}
    assert messages_of(row, "alpaca") == [("user", family), ("assistant", f"\u200b답{family}")]
