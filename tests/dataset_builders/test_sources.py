"""Each source's rule, on its samples and on rows with upstream's oddities."""

from typing import Any

import pytest

from dataset_builders.rows import Conversation, Preference, in_order
from dataset_builders.sources import SOURCES, find_upstream
from rabbit_ko.errors import Rejected
from tests.conftest import ROOT, sample_rows

SHAREGPT = [{"from": "human", "value": "하나"}, {"from": "gpt", "value": "둘"}]


def convert(source: str, row: dict[str, Any]) -> Any:
    return SOURCES[source].convert(row, source)


def kept(source: str) -> list[Any]:
    """The rows that a sample file leaves."""
    rows = []
    for row in sample_rows(source):
        try:
            rows.append(convert(source, row))
        except Rejected:
            continue
    return rows


def turns(*contents: str) -> list[dict[str, str]]:
    """User and assistant in turn."""
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": content} for index, content in enumerate(contents)]


@pytest.mark.parametrize("source", ["koalpaca", "openorca_ko", "guanaco_ko"])
def test_samples_of_conversations_are_at_least_forty_and_obey_the_row_type(source: str) -> None:
    rows = kept(source)
    assert len(rows) >= 40
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert isinstance(row, Conversation)
        in_order(row.messages, last="assistant")


def test_samples_of_preferences_are_at_least_sixty_and_obey_the_row_type() -> None:
    rows = [row for source in ("orca_math_ko_dpo", "hh_rlhf_ko", "ko_ultrafeedback") for row in kept(source)]
    assert len(rows) >= 60
    for row in rows:
        assert isinstance(row, Preference)
        in_order(row.prompt, last="user")
        assert [message["role"] for message in row.chosen + row.rejected] == ["assistant", "assistant"]


def test_openorca_rows_are_unchanged() -> None:
    for raw in sample_rows("openorca_ko"):
        row = convert("openorca_ko", raw)
        assert row.id == f"openorca_ko/{raw['id']}"
        system = [{"role": "system", "content": raw["input"]}] if raw["input"].strip() else []
        assert row.messages == [*system, *turns(raw["instruction"], raw["output"])]


def test_koalpaca_question_and_answer_are_unchanged() -> None:
    for raw in sample_rows("koalpaca"):
        assert convert("koalpaca", raw).messages == turns(raw["instruction"], raw["output"])


def test_guanaco_delimiters_split_wherever_they_stand_and_other_headings_do_not() -> None:
    transcript = (
        "### Human: 하나?\n### Tip: 둘### Assistant: ### 1단계: 셋\n\n넷 ### Human:다섯\n### Assistant:여섯\n"
    )
    assert convert("guanaco_ko", {"text": transcript, "id": 1}).messages == turns(
        "하나?\n### Tip: 둘", "### 1단계: 셋\n\n넷", "다섯", "여섯"
    )


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        ("### Human: 답이 없어요", "no answer"),
        ("### Assistant: 먼저 말합니다### Human: 네### Assistant: 네", "roles out of order"),
        ("### Human: 하나### Assistant: ### Human: 둘### Assistant: 셋", "empty turn"),
        ("### Human: 하나### Human: 둘### Assistant: 셋", "roles out of order"),
        ("구분자가 없는 글", "no delimiter at the start"),
        ("머리말 ### Human: 하나### Assistant: 둘", "no delimiter at the start"),
        ("", "no delimiter at the start"),
    ],
)
def test_guanaco_rows_without_a_conversation_are_rejected_with_a_reason(transcript: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        convert("guanaco_ko", {"text": transcript, "id": "7"})


def test_guanaco_human_turn_at_the_end_is_dropped() -> None:
    row = convert("guanaco_ko", {"text": "### Human: 하나### Assistant: 둘### Human: 셋", "id": 7})
    assert (row.id, row.messages) == ("guanaco_ko/7", turns("하나", "둘"))


def test_hh_rlhf_context_comes_before_the_question() -> None:
    row = convert("hh_rlhf_ko", sample_rows("hh_rlhf_ko")[-1])
    assert [message["role"] for message in row.prompt] == ["user", "assistant"] * 2 + ["user"]


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [("", "나", "empty chosen"), ("가", " ", "empty rejected"), ("같다", " 같다\n", "chosen equals rejected")],
)
def test_preferences_that_say_nothing_are_rejected(chosen: str, rejected: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        convert("ko_ultrafeedback", {"prompt": "질문", "chosen": chosen, "rejected": rejected})


def test_half_a_surrogate_pair_is_rejected() -> None:
    with pytest.raises(Rejected, match="broken unicode"):
        convert("koalpaca", {"instruction": "가\ud83d", "output": "나"})


def test_alpaca_puts_the_input_behind_the_instruction() -> None:
    row = convert("alpaca", {"instruction": "요약해 줘.", "input": "긴 글", "output": "짧은 글", "id": None})
    assert row.messages == turns("요약해 줘.\n\n긴 글", "짧은 글")
    assert convert("alpaca", {"instruction": "가", "output": "나", "id": 3}).id == "alpaca/3"


def test_a_blank_system_turn_is_none() -> None:
    row = convert("sharegpt", {"conversations": [{"from": "system", "value": " "}, *SHAREGPT]})
    assert row.messages == turns("하나", "둘")


def test_sharegpt_and_messages_agree() -> None:
    sharegpt = [{"from": "system", "value": "짧게"}, *SHAREGPT]
    messages = [{"role": "system", "content": "짧게"}, *turns("하나", "둘")]
    assert convert("sharegpt", {"conversations": sharegpt}).messages == messages
    assert convert("messages", {"messages": messages}).messages == messages


def test_preference_takes_texts_or_messages() -> None:
    texts = {"prompt": "하나", "chosen": "둘", "rejected": "셋"}
    messages = {"prompt": turns("하나"), "chosen": turns("하나", "둘"), "rejected": turns("하나", "셋")}
    assert convert("preference", texts) == convert("preference", messages)


def test_rows_without_an_id_get_one_from_their_content() -> None:
    first, again, other = (convert("koalpaca", {"instruction": q, "output": "답"}) for q in ("가", "가", "나"))
    assert first.id == again.id != other.id


@pytest.mark.parametrize(
    ("source", "row", "message"),
    [
        ("koalpaca", {"instruction": ["가"], "output": "나"}, "`instruction` must be text, not list"),
        ("koalpaca", {"instruction": "가", "output": 42}, "`output` must be text, not int"),
        ("koalpaca", {"instruction": "가", "output": 0}, "`output` must be text, not int"),
        ("messages", {"messages": "가"}, "`messages` must be a list, not str"),
        ("messages", {"messages": [{"role": "user"}]}, "`messages` has a turn without `content`"),
        ("sharegpt", {"conversations": ["가"]}, "`conversations` must be made of objects with `from` and `value`"),
    ],
)
def test_fields_of_another_type_are_named(source: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected, match=message):
        convert(source, row)


def test_a_source_is_found_by_its_file_alone() -> None:
    files = {path.stem for path in (ROOT / "dataset_builders/sources").glob("[!_]*.py")}
    assert SOURCES.keys() == files
    assert find_upstream("kyujinpy/openorca-ko") is SOURCES["openorca_ko"]
    assert find_upstream("org/mine") is None
