"""What stands in front of a question: nothing, or an example, which may think aloud, in this project's own words."""

from typing import Literal

from prompt_strategies.template import Messages

Strategy = Literal["default", "1-shot", "cot-1-shot"]

_QUESTION = (
    "서연이는 책을 하루에 24쪽씩 읽습니다. 월요일에 읽기 시작했고 수요일 하루는 쉬었습니다. "
    "168쪽짜리 책을 모두 읽는 날은 무슨 요일인가요?"
)
_ANSWER = "다음 주 월요일입니다. 168쪽을 읽는 데에는 7일이 걸리고, 수요일 하루를 쉬어 여덟째 날에 끝나기 때문입니다."
_ANSWER_WITH_THOUGHT = (
    "차례대로 생각해 보겠습니다.\n"
    "1. 책을 읽는 데 필요한 날은 168 ÷ 24 = 7일입니다.\n"
    "2. 수요일에 하루를 쉬었으므로 월요일부터 여덟째 날에 마지막 쪽을 읽습니다.\n"
    "3. 월요일을 첫째 날로 세면 일곱째 날은 일요일이고, 여덟째 날은 다음 주 월요일입니다.\n"
    "따라서 책을 모두 읽는 날은 다음 주 월요일입니다."
)
_THINK = "답을 내기 전에 필요한 생각을 단계별로 적고, 마지막에 결론을 분명하게 밝혀 주세요."

_IN_FRONT: dict[Strategy, Messages] = {
    "default": (),
    "1-shot": (
        {"role": "user", "content": _QUESTION},
        {"role": "assistant", "content": _ANSWER},
    ),
    "cot-1-shot": (
        {"role": "system", "content": _THINK},
        {"role": "user", "content": _QUESTION},
        {"role": "assistant", "content": _ANSWER_WITH_THOUGHT},
    ),
}


def conversation(strategy: Strategy, questions: tuple[str, str], first_answer: str | None = None) -> Messages:
    """Return the messages that ask the first question; given the answer to it, those that ask the second."""
    messages = [*_IN_FRONT[strategy], {"role": "user", "content": questions[0]}]
    if first_answer is None:
        return messages
    return [*messages, {"role": "assistant", "content": first_answer}, {"role": "user", "content": questions[1]}]


def task_name(strategy: Strategy) -> str:
    """Return the name of the task's result."""
    return "logickor" if strategy == "default" else f"logickor-{strategy}"
