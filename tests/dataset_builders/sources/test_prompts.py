"""Prompts without answers: every row is kept or rejected with its reason, and none is trained on."""

from typing import Any

import pytest
from pydantic import ValidationError

from dataset_builders.recipe import DataConfig, SourceConfig
from dataset_builders.rows import Message, user
from dataset_builders.sources import SOURCES
from rabbit_ko.errors import Rejected

TURNS: list[Message] = [user("수도는?"), {"role": "assistant", "content": "서울입니다."}, user("인구는?")]


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "수도는 어디입니까?"}, [user("수도는 어디입니까?")]),
        ({"prompt": TURNS}, TURNS),
        ({"messages": TURNS}, TURNS),
        ({"messages": TURNS, "system": "짧게."}, [{"role": "system", "content": "짧게."}, *TURNS]),
        ({"prompt": "요약하세요.", "input": "긴 글입니다."}, [user("요약하세요.\n\n긴 글입니다.")]),
    ],
)
def test_a_prompt_is_a_text_or_turns_up_to_a_question(row: dict[str, Any], prompt: list[Message]) -> None:
    made = SOURCES["prompts"].convert(row, "mine")
    assert made.prompt == prompt
    assert made.id.startswith("mine/")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "no prompt"),
        ({"prompt": "  "}, "no prompt"),
        ({"messages": TURNS[:2]}, "roles out of order"),
        ({"prompt": "다른 말", "messages": TURNS}, "`prompt` and `messages` disagree"),
    ],
)
def test_what_is_no_prompt_has_a_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        SOURCES["prompts"].convert(row, "mine")


def test_an_id_of_upstream_stays() -> None:
    assert SOURCES["prompts"].convert({"prompt": "수도는?", "id": 7}, "mine").id == "mine/7"


def test_nothing_is_trained_on_prompts() -> None:
    with pytest.raises(ValidationError, match="`prompts` has no answers to train on"):
        DataConfig(sources=[SourceConfig(source="prompts", path="prompts.jsonl")])
