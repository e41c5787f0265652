"""The prompt of a pair, and of an answer with a label: what the row says beside them, and the turns before them."""

import json
from typing import Any

import pytest

from dataset_builders.sources import SOURCES
from rabbit_ko.errors import Rejected

FIRST, ANSWER, LAST = ("user", "파이썬이 뭐야?"), ("assistant", "언어입니다."), ("user", "설치는?")
SYSTEM = ("system", "해적처럼 답하세요.")
HISTORY = [FIRST, ANSWER, LAST]


def turns(*said: tuple[str, str]) -> list[dict[str, str]]:
    """Messages of these roles and contents."""
    return [{"role": role, "content": content} for role, content in said]


def pair(*before: tuple[str, str], **fields: Any) -> dict[str, Any]:
    """A pair whose two answers stand after these turns."""
    answers = {"chosen": "좋은 답", "rejected": "나쁜 답"}
    return {side: turns(*before, ("assistant", answer)) for side, answer in answers.items()} | fields


def prompt_of(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The prompt of a pair, as (role, content), whose answers are the two that `pair` gives."""
    found: Any = SOURCES["preference"].convert(row, "preference")
    assert (found.chosen, found.rejected) == (turns(("assistant", "좋은 답")), turns(("assistant", "나쁜 답")))
    return [(message["role"], message["content"]) for message in found.prompt]


@pytest.mark.parametrize(
    "row",
    [
        pair(*HISTORY),
        pair(*HISTORY, prompt=FIRST[1]),
        pair(*HISTORY, prompt=f" {LAST[1]}\n"),
        pair(*HISTORY, prompt=turns(*HISTORY)),
        pair(*HISTORY, prompt=turns(LAST)),
        pair(*HISTORY, prompt=json.dumps(turns(*HISTORY))),
        pair(*HISTORY, prompt="\n\nHuman: 파이썬이 뭐야?\n\nAssistant: 언어입니다.\n\nHuman: 설치는?\n\nAssistant:"),
        pair(LAST, prompt=turns(*HISTORY)),
        pair(prompt=turns(*HISTORY)),
        pair(prompt=LAST[1], history=[[FIRST[1], ANSWER[1]]]),
        pair(prompt=LAST[1], context=turns(FIRST, ANSWER)),
        pair(prompt=turns(*HISTORY), history=[[FIRST[1], ANSWER[1]]]),
        pair(*HISTORY, prompt=LAST[1], history=[[FIRST[1], ANSWER[1]]]),
        pair(*HISTORY) | {"rejected": "나쁜 답"},
        pair(*HISTORY) | {"chosen": json.dumps(turns(*HISTORY, ("assistant", "좋은 답")))},
        pair(*HISTORY, prompt="", messages=[], score_chosen=9),
        pair(*HISTORY, prompt=None, input="", system=None, history=[]),
    ],
)
def test_the_turns_before_the_answers_are_the_prompt_however_they_are_told(row: dict[str, Any]) -> None:
    assert prompt_of(row) == HISTORY


@pytest.mark.parametrize(
    "row",
    [
        pair(SYSTEM, FIRST, prompt=FIRST[1]),
        pair(SYSTEM, FIRST),
        pair(SYSTEM, FIRST, system=SYSTEM[1]),
        pair(FIRST, system=SYSTEM[1]),
        pair(FIRST, prompt=turns(SYSTEM, FIRST)),
        pair(prompt=FIRST[1], system=SYSTEM[1]),
        pair(prompt=turns(SYSTEM, FIRST), system=SYSTEM[1]),
    ],
)
def test_the_system_message_belongs_to_the_prompt(row: dict[str, Any]) -> None:
    assert prompt_of(row) == [SYSTEM, FIRST]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (pair(FIRST, prompt="다른 질문"), "`prompt` and `chosen` disagree"),
        (pair(*HISTORY, prompt=turns(FIRST, ("assistant", "다른 답"), LAST)), "`prompt` and `chosen` disagree"),
        (pair(*HISTORY, prompt=ANSWER[1]), "`prompt` and `chosen` disagree"),
        (pair(*HISTORY, prompt=FIRST[1], history=[["다른", "앞 이야기"]]), "`prompt` and `chosen` disagree"),
        (pair(FIRST, prompt=FIRST[1], input="더 긴 글"), "`prompt` and `chosen` disagree"),
        (pair(FIRST) | {"rejected": pair(LAST)["rejected"]}, "`chosen` and `rejected` differ before their answers"),
        (pair(FIRST) | {"rejected": pair(SYSTEM, FIRST)["rejected"]}, "`chosen` and `rejected` differ"),
        (pair(SYSTEM, FIRST, system="다르게"), "`prompt` and `chosen` have different system messages"),
        (pair(), "no prompt"),
        (pair(prompt="", system="짧게"), "no prompt"),
        (pair(prompt=turns(*HISTORY), input="글"), "`input` beside a `prompt` of several turns"),
        (pair(prompt="질문", context="글"), "`context` must be a list, not str"),
        (pair(prompt=turns(FIRST, ANSWER)), "roles out of order"),
        (pair(FIRST) | {"chosen": turns(FIRST)}, "chosen does not end with an answer"),
        (pair(FIRST) | {"rejected": []}, "empty rejected"),
        (pair(FIRST) | {"chosen": "\u200b"}, "empty chosen"),
        (pair(FIRST) | {"rejected": " 좋은 답 "}, "chosen equals rejected"),
        (pair(FIRST) | {"chosen": {**turns(("assistant", "가"))[0], "weight": 0}}, "chosen is not to be trained"),
        (pair(prompt="질문") | {"chosen": "좋은 답\n\nHuman: 또?\n\nAssistant: 네"}, "`chosen` is a transcript"),
    ],
)
def test_pairs_that_do_not_agree_are_rejected_with_that_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        SOURCES["preference"].convert(row, "preference")


def test_the_input_stands_behind_the_question() -> None:
    assert prompt_of(pair(prompt="요약해 줘", input="긴 글")) == [("user", "요약해 줘\n\n긴 글")]
    assert prompt_of(pair(input="긴 글")) == [("user", "긴 글")]
    assert prompt_of(pair(("user", "요약해 줘\n\n긴 글"), prompt="요약해 줘", input="긴 글"))[0][1].endswith("긴 글")


def test_a_dialogue_to_work_with_is_a_text() -> None:
    dialogue = "User: 안녕\nAssistant: 네"
    assert prompt_of(pair(prompt="요약해 줘", input=dialogue)) == [("user", f"요약해 줘\n\n{dialogue}")]
    for given in (str(turns(FIRST, ANSWER)), "\n\nHuman: 안녕\n\nAssistant: 네"):
        with pytest.raises(Rejected, match="`input` beside a `prompt` of several turns"):
            prompt_of(pair(prompt="요약해 줘", input=given))


def test_texts_agree_whatever_their_composition() -> None:
    assert prompt_of(pair(("user", "한글"), prompt="\u1112\u1161\u11ab\u1100\u1173\u11af")) == [("user", "한글")]


def test_raw_transcripts_of_two_answers_are_a_pair() -> None:
    row = {
        side: f"\n\nHuman: 하나\n\nAssistant: 둘\n\nHuman: 셋\n\nAssistant: {answer}"
        for side, answer in (("chosen", "좋은 답"), ("rejected", "나쁜 답"))
    }
    assert prompt_of(row) == [("user", "하나"), ("assistant", "둘"), ("user", "셋")]


def test_a_greeting_in_front_of_a_pair_is_dropped() -> None:
    assert prompt_of(pair(("assistant", "어서 오세요"), FIRST, prompt=FIRST[1])) == [FIRST]


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "질문", "completion": "답"},
        {"prompt": turns(("user", "질문")), "completion": turns(("assistant", "답"))},
        {"messages": turns(("user", "질문"), ("assistant", "답"))},
        {"messages": [{"from": "human", "value": "질문"}, {"from": "gpt", "value": "답"}], "completion": None},
        {"prompt": "질문", "messages": turns(("user", "질문"), ("assistant", "답"))},
        {"completion": "\n\nHuman: 질문\n\nAssistant: 답"},
    ],
)
@pytest.mark.parametrize(
    ("label", "good"),
    [
        *((value, True) for value in (True, 1, 1.0, "true", "True", "1", " TRUE ")),
        *((value, False) for value in (False, 0, 0.0, -1, "false", "False", "0", "-1")),
    ],
)
def test_an_answer_with_a_label_is_a_row_in_every_form(fields: dict[str, Any], label: Any, good: bool) -> None:
    row: Any = SOURCES["labelled"].convert({**fields, "label": label}, "labelled")
    assert (row.prompt, row.completion, row.label) == (turns(("user", "질문")), turns(("assistant", "답")), good)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "질문", "completion": "답", "label": 2}, "`label` must be true or false"),
        ({"prompt": "질문", "completion": "답", "label": "good"}, "`label` must be true or false"),
        ({"prompt": "질문", "completion": "답", "label": None}, "no `label`"),
        ({"prompt": "질문", "completion": "답", "label": float("nan")}, "no `label`"),
        ({"prompt": "질문", "completion": "답", "label": [True]}, "`label` must be true or false"),
        ({"prompt": "질문", "completion": " ", "label": True}, "empty completion"),
        ({"prompt": "질문", "label": True}, "no field `completion`"),
        ({"completion": "답", "label": True}, "no prompt"),
        ({"messages": turns(("user", "질문")), "label": True}, "messages does not end with an answer"),
        ({"messages": turns(FIRST), "completion": "답", "label": True}, "both `completion` and `messages`"),
        ({"prompt": "다른", "messages": turns(FIRST, ANSWER), "label": True}, "`prompt` and `messages` disagree"),
    ],
)
def test_labelled_rows_that_cannot_be_used_are_named(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        SOURCES["labelled"].convert(row, "labelled")
