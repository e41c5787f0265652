"""Conversations with several turns, calls of tools and reasoning, as shards hold them."""

import json
from typing import Any

from prompt_strategies.messages import Messages

Message = dict[str, Any]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "도시의 날씨를 알려 준다",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "도시의 시각을 알려 준다",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TOOLS = json.dumps([WEATHER, CLOCK], ensure_ascii=False)


def system(text: str) -> Message:
    return {"role": "system", "content": text}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def answer(text: str, reasoning: str | None = None) -> Message:
    return {"role": "assistant", "content": text, **({"reasoning_content": reasoning} if reasoning else {})}


def calls(*functions: tuple[str, dict[str, Any]], first: int = 1, reasoning: str | None = None) -> Message:
    """An answer that calls functions; ids count up from `first`, and have nine characters, as Mistral's must."""
    listed = [
        {"type": "function", "id": f"call{number:05}", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(functions, start=first)
    ]
    return {**answer("", reasoning), "tool_calls": json.dumps(listed, ensure_ascii=False)}


def result(text: str, number: int = 1) -> Message:
    return {"role": "tool", "content": text, "tool_call_id": f"call{number:05}"}


SEOUL, BUSAN = {"city": "서울", "unit": "섭씨"}, {"city": "부산", "unit": "섭씨"}

MULTI_TURN = [
    system("짧게 답해 주세요."),
    user("대한민국의 수도는 어디인가요?"),
    answer("서울입니다."),
    user("그럼 두 번째로 큰 도시는요?"),
    answer("부산입니다.\n\n바다가 있는 도시예요."),
]
ONE_CALL = [
    user("서울 날씨 어때?"),
    calls(("get_weather", SEOUL)),
    result("맑음, 21도"),
    answer("서울은 지금 맑고 21도입니다."),
]
PARALLEL_CALLS = [
    system("도구를 쓸 수 있습니다."),
    user("안녕?"),
    answer("안녕하세요!"),
    user("서울 날씨와 시각을 알려 줘."),
    calls(("get_weather", SEOUL), ("get_time", {"city": "서울"})),
    result("맑음, 21도"),
    result("오후 3시", 2),
    calls(("get_weather", BUSAN), first=3),
    result("흐림", 3),
    answer("서울은 맑고 오후 3시이며, 부산은 흐립니다."),
]
REASONING = [
    user("2 더하기 3은?"),
    answer("5입니다.", "2와 3을 더하면 5이다."),
    user("거기에 4를 곱하면?"),
    answer("20입니다.", "5에 4를 곱하면 20이다."),
]
REASONING_AND_CALL = [
    user("부산 날씨는?"),
    calls(("get_weather", BUSAN), reasoning="날씨를 찾아봐야 한다."),
    result("흐림"),
    answer("부산은 흐립니다.", "결과가 흐림이다."),
]
# By name: messages, and the tools of the row.
ROWS: dict[str, tuple[Messages, str | None]] = {
    "multi-turn": (MULTI_TURN, None),
    "one call": (ONE_CALL, TOOLS),
    "parallel calls": (PARALLEL_CALLS, TOOLS),
    "reasoning": (REASONING, None),
    "reasoning and a call": (REASONING_AND_CALL, TOOLS),
}


def as_given(message: Message) -> Message:
    """A message as a client of OpenAI's API gives it to a chat template: calls are objects."""
    given = {key: value for key, value in message.items() if value is not None}
    return {**given, "tool_calls": json.loads(given["tool_calls"])} if "tool_calls" in given else given
