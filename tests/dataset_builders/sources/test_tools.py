"""Calls of tools, their results, definitions and reasoning come to one form from every usual one, or to a reason."""

import json
from typing import Any

import pytest

from dataset_builders.sources import SOURCES
from rabbit_ko.errors import Rejected

ASK = {"role": "user", "content": "서울과 부산 날씨는?"}
SAID = {"role": "assistant", "content": "둘 다 맑습니다."}
SEOUL, BUSAN = ({"name": "weather", "arguments": {"city": city, "days": 1}} for city in ("서울", "부산"))
PLAIN_CALLS = [{"type": "function", "function": function} for function in (SEOUL, BUSAN)]
NAMED_CALLS = [{"type": "function", "id": f"c{number}", "function": SEOUL} for number in range(2)]
RESULTS = [{"role": "tool", "content": "맑음"}, {"role": "tool", "content": "흐림"}]
FUNCTION = {"name": "weather", "description": "날씨", "parameters": {"type": "object", "properties": {}}}


def convert(messages: list[Any], source: str = "messages", **fields: Any) -> Any:
    """The row of these turns."""
    return SOURCES[source].convert({SOURCES[source].required[0]: messages, **fields}, source)


def as_text(function: dict[str, Any]) -> dict[str, Any]:
    """A function that is called, with its arguments as text, as OpenAI's API gives them."""
    return {**function, "arguments": json.dumps(function["arguments"])}


CALLING: list[dict[str, Any]] = [
    {"role": "assistant", "content": None, "tool_calls": PLAIN_CALLS},
    {"role": "assistant", "tool_calls": [{"function": as_text(each), "index": 0} for each in (SEOUL, BUSAN)]},
    {"role": "assistant", "content": "", "tool_calls": json.dumps(PLAIN_CALLS), "function_call": None},
    {"role": "assistant", "content": [], "tool_calls": [SEOUL, BUSAN]},
    {"from": "gpt", "value": None, "tool_calls": [as_text(SEOUL), as_text(BUSAN)]},
    {"from": "gpt", "tool_calls": [SEOUL, BUSAN]},
    {"from": "function_call", "value": json.dumps([SEOUL, as_text(BUSAN)])},
    {"from": "tool_call", "value": [SEOUL, BUSAN]},
    {"role": "assistant", "content": "", "tool_calls": [{"type": "function", **SEOUL}, {**BUSAN, "id": None}]},
]


@pytest.mark.parametrize("source", ["messages", "sharegpt"])
@pytest.mark.parametrize("calling", CALLING)
def test_calls_are_the_same_in_every_form(source: str, calling: dict[str, Any]) -> None:
    row = convert([ASK, calling, *RESULTS, SAID], source)
    assert [message["role"] for message in row.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert row.messages[1] == {
        "role": "assistant",
        "content": "",
        "tool_calls": json.dumps(PLAIN_CALLS, ensure_ascii=False),
    }


def test_calls_within_a_text_are_a_reason_where_tools_are_given() -> None:
    hidden = {"role": "assistant", "content": f"<tool_call>\n{json.dumps(SEOUL)}\n</tool_call>"}
    assert convert([ASK, hidden]).messages[-1] == hidden
    with pytest.raises(Rejected, match="calls of tools within a text; give them as `tool_calls`"):
        convert([ASK, hidden], tools=[FUNCTION])


@pytest.mark.parametrize("role", ["tool", "function", "observation", "tool_response", "function_response"])
def test_one_call_in_the_older_forms(role: str) -> None:
    expected = json.dumps(PLAIN_CALLS[:1], ensure_ascii=False)
    older = {"role": "assistant", "content": None, "function_call": as_text(SEOUL)}
    sharegpt = {"from": "function_call", "value": json.dumps(SEOUL)}
    for calling, result in (
        (older, {"role": role, "name": "weather", "content": "맑음"}),
        (sharegpt, {"from": role, "value": "맑음"}),
    ):
        row = convert([ASK, calling, result, SAID])
        assert (row.messages[1]["tool_calls"], row.messages[2]) == (expected, {"role": "tool", "content": "맑음"})


def test_results_that_say_which_call_they_are_of_in_another_order_stand_in_the_order_of_the_calls() -> None:
    results = [{**RESULTS[0], "tool_call_id": "c1"}, {**RESULTS[1], "tool_call_id": "c0", "content": '[{"a": 1}]'}]
    calling = {"role": "assistant", "tool_calls": NAMED_CALLS}
    row = convert([ASK, calling, *results, SAID, ASK, calling, *results[::-1], SAID])
    assert row.messages[2:4] == row.messages[7:9] == results[::-1]
    assert [message["role"] for message in row.messages] == ["user", "assistant", "tool", "tool", "assistant"] * 2
    judged = SOURCES["preference"].convert(
        {"prompt": [ASK, calling, *results], "chosen": [SAID], "rejected": [{**SAID, "content": "모릅니다."}]}, "x"
    )
    assert judged.prompt[2:] == results[::-1]
    assert json.loads(row.messages[1]["tool_calls"]) == NAMED_CALLS


def test_a_result_is_its_text_and_not_what_the_text_stands_for() -> None:
    parts = '[{"type": "text", "text": "가"}]'
    row = convert([ASK, CALLING[0], {"role": "tool", "content": parts}, {"role": "tool", "content": ""}, SAID])
    assert [message["content"] for message in row.messages[2:4]] == [parts, ""]
    row = convert([ASK, CALLING[0], *({"role": "tool", "content": json.loads(parts)} for _ in range(2)), SAID])
    assert [message["content"] for message in row.messages[2:4]] == ["가", "가"]


def test_a_conversation_may_end_with_a_call_and_what_follows_it_is_dropped() -> None:
    for after in ([], RESULTS, RESULTS[:1]):
        assert convert([ASK, CALLING[0], *after]).messages == convert([ASK, CALLING[0]]).messages
    again = convert([ASK, SAID, ASK, {**CALLING[0], "content": "찾아볼게요."}])
    assert again.messages[-1]["content"] == "찾아볼게요."


def test_a_call_that_is_not_to_be_trained_is_context() -> None:
    row = convert([ASK, {**CALLING[0], "weight": 0}, *RESULTS, SAID])
    assert [message.get("weight") for message in row.messages] == [None, 0, None, None, None]
    with pytest.raises(Rejected, match="no answer is to be trained"):
        convert([ASK, {**CALLING[6], "train": False}])


def test_keys_and_nulls_of_arguments_that_are_text_stay_and_nulls_of_objects_are_absent() -> None:
    arguments = {"나": 1.5, "가": None, "다": [None, {"라": None}]}
    stay = convert([ASK, {"role": "assistant", "function_call": {"name": "f", "arguments": json.dumps(arguments)}}])
    assert '"arguments": {"나": 1.5, "가": null, "다": [null, {"라": null}]}' in stay.messages[-1]["tool_calls"]
    go = convert([ASK, {"role": "assistant", "function_call": {"name": "f", "arguments": arguments}}])
    assert '"arguments": {"나": 1.5, "다": [null, {}]}' in go.messages[-1]["tool_calls"]
    nothings: list[dict[str, Any]] = [{}, {"arguments": None}, {"arguments": ""}, {"arguments": {}}]
    for nothing in nothings:
        row = convert([ASK, {"role": "assistant", "function_call": {"name": "f", **nothing}}])
        assert json.loads(row.messages[-1]["tool_calls"])[0]["function"] == {"name": "f", "arguments": {}}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": FUNCTION}]},
        {"tools": [FUNCTION]},
        {"tools": [{"type": "function", **FUNCTION}]},
        {"functions": [FUNCTION]},
        {"tools": json.dumps([FUNCTION])},
        {"functions": json.dumps([{"function": FUNCTION}]), "tools": []},
        {"functions": [FUNCTION], "tools": [{"type": "function", "function": FUNCTION}]},
        {"tools": [{"name": "weather", "x": None, **FUNCTION}]},
    ],
)
def test_tools_are_the_same_in_every_form(fields: dict[str, Any]) -> None:
    expected = json.dumps([{"type": "function", "function": FUNCTION}], ensure_ascii=False)
    assert convert([ASK, SAID], **fields).tools == expected
    pair: Any = SOURCES["preference"].convert({"prompt": "질문", "chosen": "가", "rejected": "나", **fields}, "p")
    label: Any = SOURCES["labelled"].convert({"prompt": "질문", "completion": "가", "label": True, **fields}, "l")
    assert pair.tools == label.tools == expected


@pytest.mark.parametrize(
    "fields", [{}, {"tools": None}, {"tools": "[]", "functions": []}, {"tools": [{"name": None}]}]
)
def test_no_tools_are_none(fields: dict[str, Any]) -> None:
    assert convert([ASK, SAID], **fields) == convert([ASK, SAID])


THOUGHTS = [
    {"content": "답", "reasoning_content": "먼저\n생각"},
    {"content": "답", "reasoning": "먼저\n생각 ", "thinking": None},
    {"content": "답", "thinking": "먼저\n생각", "reasoning_content": "먼저\n생각"},
    {"content": "<think>\n먼저\n생각\n</think>\n\n답"},
    {"content": "\n <think>먼저\n생각</think>답"},
    {"content": "<think>\n먼저\n생각\n</think>\n\n답", "reasoning": "먼저\n생각"},
    {"content": "<think></think>답", "reasoning": "먼저\n생각"},
    {"content": "먼저\n생각\n</think>\n\n답"},
    {"content": [{"type": "text", "text": "<think>먼저\n생각</think>답"}]},
]


@pytest.mark.parametrize("given", THOUGHTS)
def test_reasoning_is_the_same_in_every_form(given: dict[str, Any]) -> None:
    expected = {"role": "assistant", "content": "답", "reasoning_content": "먼저\n생각"}
    assert convert([ASK, {"role": "assistant", **given}]).messages[-1] == expected
    pair: Any = SOURCES["preference"].convert(
        {"prompt": "질문", "chosen": [{"role": "assistant", **given}], "rejected": "몰라"}, "p"
    )
    assert pair.chosen == [expected]


def test_thoughts_in_an_answer_that_is_a_text_are_reasoning_and_those_of_a_user_are_text() -> None:
    row: Any = SOURCES["preference"].convert(
        {
            "prompt": "<think>가</think>나",
            "chosen": "<think>\n\n</think>\n\n좋은 답",
            "rejected": "<think>음</think>답",
        },
        "p",
    )
    assert row.prompt == [{"role": "user", "content": "<think>가</think>나"}]
    assert row.chosen == [{"role": "assistant", "content": "좋은 답"}]
    assert row.rejected == [{"role": "assistant", "content": "답", "reasoning_content": "음"}]


def test_reasoning_stands_beside_calls() -> None:
    row = convert([ASK, {**CALLING[0], "content": "<think>둘을 물어보자</think>"}])
    assert (row.messages[-1]["reasoning_content"], row.messages[-1]["content"]) == ("둘을 물어보자", "")


def calling(**call: Any) -> list[Any]:
    """A conversation that ends with this call."""
    return [ASK, {"role": "assistant", "tool_calls": [call]}]


ONE = {"role": "assistant", "tool_calls": [{"id": "a", **SEOUL}]}
DEEP: Any = "값"
for _ in range(200):
    DEEP = {"가": DEEP}
REASONS: list[tuple[str, list[Any]]] = [
    ("`arguments` is no JSON", calling(name="f", arguments="{city: 서울}")),
    ("`arguments` of a call are no JSON object", calling(name="f", arguments="[1]")),
    ("`arguments` of a call are no JSON object", calling(name="f", arguments=["서울"])),
    ("`arguments` of a call are no JSON object", calling(name="f", arguments='"서울"')),
    ("duplicate key `city`", calling(name="f", arguments='{"city": 1, "city": 2}')),
    ("duplicate key `a`", [ASK, {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1, "a": 2}}'}]),
    ("nested more than 100 deep", calling(name="f", arguments=DEEP)),
    ("nested more than 100 deep", calling(name="f", arguments=json.dumps(DEEP))),
    ("nested more than 100 deep", calling(name="f", arguments='{"a":' + "[" * 50_000)),
    ("`tool_calls` is no JSON", calling(name="f", arguments={"a": float("inf")})),
    ("`tool_calls` is no JSON", calling(name="f", arguments={"a": b"1"})),
    ("broken unicode", calling(name="f", arguments={"a": "\ud83d"})),
    ("`tool_calls` has a function without a name", calling(arguments='{"city": "서울"}')),
    ("`tool_calls` has a function without a name", calling(function={"name": " ", "arguments": "{}", "x": 1})),
    ("`tool_calls` has a function without a name", calling(function="weather")),
    ("`tool_calls` has a `custom`, which is no function", calling(type="custom", custom={"name": "f"})),
    ("`tool_calls` is no list of calls", [ASK, {"role": "assistant", "tool_calls": ["weather"]}]),
    ("`tool_calls` is no JSON", [ASK, {"role": "assistant", "tool_calls": "weather(서울)"}]),
    ("`function_call` is no JSON", [ASK, {"from": "function_call", "value": "weather(서울)"}]),
    ("`function_call` is no list of calls", [ASK, {"from": "function_call", "value": None}]),
    ("`id` must be text", calling(id=["a"], name="f")),
    ("both `tool_calls` and `function_call`", [ASK, ONE | {"function_call": SEOUL}]),
    ("a tool's result without its call", [ASK, RESULTS[0], SAID]),
    ("a tool's result without its call", [ASK, SAID, RESULTS[0], SAID]),
    ("a tool's result without its call", [ASK, ONE, *RESULTS, SAID]),
    ("a call without its result", [ASK, ONE, SAID]),
    ("a call without its result", [ASK, ONE, ASK, SAID]),
    ("a call without its result", [ASK, CALLING[0], RESULTS[0], SAID]),
    ("a call without its result", [ASK, ONE, ONE]),
    ("`tool_call_id` names no call of the answer before", [ASK, ONE, RESULTS[0] | {"tool_call_id": "b"}, SAID]),
    ("`tool_call_id` names no call", [ASK, CALLING[0], RESULTS[0] | {"tool_call_id": "b"}, RESULTS[1], SAID]),
    ("two calls of an answer have the same `id`", [ASK, {"role": "assistant", "tool_calls": [NAMED_CALLS[0]] * 2}]),
    ("roles out of order", [ASK, ONE, RESULTS[0], ASK, SAID]),
    ("empty turn", [ASK, {"role": "assistant", "content": None, "tool_calls": []}]),
    ("an answer of reasoning alone", [ASK, {"role": "assistant", "content": "", "reasoning": "생각만"}]),
    ("an answer of reasoning alone", [ASK, {"role": "assistant", "content": "<think>생각만</think>\n"}]),
    ("begins with `<think>` and has no `</think>`", [ASK, {"role": "assistant", "content": "<think>끝없는 생각"}]),
    ("two different reasonings", [ASK, {**SAID, "reasoning": "하나", "thinking": "둘"}]),
    ("two different reasonings", [ASK, {**SAID, "content": "<think>하나</think>답", "thinking": "둘"}]),
    ("`reasoning` must be text, not dict", [ASK, {**SAID, "reasoning": {"effort": "high"}}]),
]


@pytest.mark.parametrize(("reason", "messages"), REASONS)
def test_what_is_malformed_is_rejected_by_a_reason_that_names_it(reason: str, messages: list[Any]) -> None:
    with pytest.raises(Rejected) as caught:
        convert(messages)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("`tools` is no list of functions", {"tools": FUNCTION}),
        ("`tools` is no list of functions", {"tools": ["weather"]}),
        ("`functions` is no list of functions", {"functions": '{"name": "f"}'}),
        ("`tools` is no list of functions", {"tools": 7}),
        ("`tools` is no JSON", {"tools": "weather"}),
        ("`tools` is no JSON", {"tools": [{"name": "f", "parameters": {"at": {1, 2}}}]}),
        ("`tools` has a function without a name", {"tools": [{"description": "날씨"}]}),
        ("`tools` has a `web_search`, which is no function", {"tools": [{"type": "web_search"}]}),
        ("duplicate key `name`", {"tools": '[{"name": "f", "name": "g"}]'}),
        ("nested more than 100 deep", {"tools": [{"name": "f", "parameters": DEEP}]}),
        ("`tools` and `functions` differ", {"tools": [FUNCTION], "functions": [{"name": "g"}]}),
    ],
)
def test_tools_that_are_no_functions_are_named(reason: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=f"^{reason}$"):
        convert([ASK, SAID], **fields)


RESULT = {"role": "tool", "content": "맑음", "tool_call_id": "a"}


def pair(**fields: Any) -> Any:
    """A pair of answers after a call and its result."""
    row = {"prompt": [ASK, ONE, RESULT], "chosen": "맑습니다.", "rejected": "흐립니다."}
    return SOURCES["preference"].convert(row | fields, "preference")


def test_prompts_keep_calls_and_results_and_answers_may_be_calls() -> None:
    row = pair()
    assert row.prompt[1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": json.dumps([NAMED_CALLS[0] | {"id": "a"}], ensure_ascii=False),
        },
        RESULT,
    ]
    assert pair(prompt=None, chosen=[ASK, ONE, RESULT, SAID], rejected=[ASK, ONE, RESULT, SAID | {"content": "몰라"}])
    called = pair(prompt=[ASK], chosen=[ONE], rejected=[{**ONE, "tool_calls": [BUSAN]}])
    assert [answer[0]["content"] for answer in (called.chosen, called.rejected)] == ["", ""]
    labelled: Any = SOURCES["labelled"].convert({"prompt": [ASK], "completion": [ONE], "label": 0}, "labelled")
    assert labelled.completion == called.chosen


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("chosen equals rejected", {"prompt": [ASK], "chosen": [ONE], "rejected": [ONE]}),
        (
            "chosen equals rejected",
            {"prompt": [ASK], "chosen": [ONE], "rejected": [{**ONE, "tool_calls": [{"id": "z", **SEOUL}]}]},
        ),
        ("empty rejected", {"rejected": ""}),
        ("a call without its result", {"prompt": [ASK, ONE]}),
        ("a call without its result", {"prompt": [ASK, CALLING[0], RESULTS[0]]}),
        (
            "`chosen` and `rejected` differ before their answers",
            {"prompt": None, "chosen": [ASK, ONE, RESULT, SAID], "rejected": [ASK, CALLING[5], *RESULTS, SAID]},
        ),
        (
            "`prompt` and `chosen` disagree",
            {"prompt": [ASK, CALLING[0], *RESULTS], "chosen": [ASK, ONE, RESULT, SAID]},
        ),
    ],
)
def test_pairs_with_calls_that_do_not_fit_are_named(reason: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=f"^{reason}$"):
        pair(**fields)


def test_rows_that_differ_in_calls_reasoning_or_tools_have_other_ids() -> None:
    calls = [{"role": "assistant", "tool_calls": [call]} for call in (SEOUL, BUSAN, {"id": "a", **SEOUL})]
    thoughts = [{**SAID, "reasoning": said} for said in ("하나", "둘")]
    rows = [
        *(convert([ASK, answer]) for answer in (*calls, SAID, *thoughts)),
        convert([ASK, SAID], tools=[FUNCTION]),
        *(convert([ASK, ONE, RESULT | {"content": said}, SAID]) for said in ("맑음", "흐림")),
        convert([ASK, SAID, ASK, SAID | {"reasoning": "가"}]),
        convert([ASK, SAID | {"reasoning": "가"}, ASK, SAID]),
        convert([ASK, SAID | {"reasoning": "가", "weight": 0}, ASK, SAID]),
    ]
    assert len({row.id for row in rows}) == len(rows)


@pytest.mark.parametrize("turn", [CALLING[1], CALLING[5]])
def test_a_turn_of_calls_needs_no_content_where_turns_are_json_in_a_text_either(turn: dict[str, Any]) -> None:
    messages = [ASK, turn, *RESULTS, SAID]
    assert convert(json.dumps(messages)) == convert(messages)  # type: ignore[arg-type]
    for chosen in (json.dumps(turn), json.dumps([turn])):
        pair = SOURCES["preference"].convert({"prompt": [ASK], "chosen": chosen, "rejected": [SAID]}, "x")
        assert pair.chosen == [convert([ASK, turn]).messages[-1]]  # type: ignore[union-attr]


def test_thoughts_behind_a_byte_order_mark_are_reasoning() -> None:
    answer = {"role": "assistant", "content": "\ufeff<think>생각</think>답입니다."}
    assert convert([ASK, answer]).messages[-1]["reasoning_content"] == "생각"
