"""Fields that change what a row means are used, or reject it by their name; empty ones are nothing."""

import re
from typing import Any

import pytest

from dataset_builders.columns import Columns
from dataset_builders.recipe import SourceConfig
from dataset_builders.sources import SOURCES
from rabbit_ko.errors import Rejected

CHAT = [{"role": "user", "content": "질문"}, {"role": "assistant", "content": "답"}]
ROWS: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "질문", "output": "답"},
    "koalpaca": {"instruction": "질문", "output": "답"},
    "messages": {"messages": CHAT},
    "sharegpt": {"conversations": [{"from": "human", "value": "질문"}, {"from": "gpt", "value": "답"}]},
    "preference": {"prompt": "질문", "chosen": "답", "rejected": "몰라"},
    "labelled": {"prompt": "질문", "completion": "답", "label": True},
}
CALL = {"function": {"name": "날씨", "arguments": "{}"}}
TOOLS: list[tuple[str, Any]] = [
    ("tools", [{"name": "날씨"}]),
    ("tools", '[{"name": "날씨"}]'),
    ("functions", [{"name": "날씨"}]),
]
OF_ANSWERS: list[tuple[str, Any]] = [
    ("tool_calls", [CALL]),
    ("function_call", CALL["function"]),
    ("reasoning_content", "생각"),
    ("reasoning", "생각"),
    ("thinking", "생각"),
]
MEDIA: list[tuple[str, Any]] = [
    ("images", ["a.png"]),
    ("image", {"bytes": "", "path": "a.png"}),
    ("audio", "a.wav"),
    ("videos", ["a.mp4"]),
]
EMPTY: list[Any] = [None, float("nan"), "", " ", "\u200b", [], {}, [None], "[]", "{}", "null", {"name": None}, False]


def convert(source: str, row: dict[str, Any], **options: Any) -> Any:
    """Convert a raw row, with all of its columns, as a build does."""
    columns = Columns(SourceConfig(source=source, path="x", **options))
    return SOURCES[source].convert(columns.fields(row), source)


@pytest.mark.parametrize("source", ROWS)
@pytest.mark.parametrize(("name", "value"), [*TOOLS, *OF_ANSWERS, *MEDIA])
def test_a_field_that_a_source_does_not_read_rejects_the_row_by_its_name(source: str, name: str, value: Any) -> None:
    if name in SOURCES[source].optional:
        assert convert(source, ROWS[source] | {name: value}).tools
        return
    with pytest.raises(Rejected, match=f"^`{name}` is not supported$"):
        convert(source, ROWS[source] | {name: value})


def test_the_sources_for_ones_own_turns_read_tools() -> None:
    reading = {name for name in ROWS if "tools" in SOURCES[name].optional}
    assert reading == {"messages", "sharegpt", "preference", "labelled"}


@pytest.mark.parametrize(("name", "value"), [*TOOLS, *MEDIA])
@pytest.mark.parametrize("place", [0, 1])
def test_a_turn_with_such_a_field_rejects_the_row_by_its_name(place: int, name: str, value: Any) -> None:
    turns = [turn | ({name: value} if number == place else {}) for number, turn in enumerate(CHAT)]
    with pytest.raises(Rejected, match=f"^`{name}` is not supported$"):
        convert("messages", {"messages": turns})


@pytest.mark.parametrize(("name", "value"), OF_ANSWERS)
@pytest.mark.parametrize("role", ["user", "system", "tool"])
def test_what_only_an_answer_has_rejects_another_turn_by_its_name(role: str, name: str, value: Any) -> None:
    with pytest.raises(Rejected, match=f"^`{name}` of a turn with the role `{role}`$"):
        convert("messages", {"messages": [{"role": role, "content": "가", name: value}, *CHAT]})


@pytest.mark.parametrize("source", ROWS)
@pytest.mark.parametrize("value", EMPTY)
def test_empty_fields_are_nothing(source: str, value: Any) -> None:
    fields = {name for name, _ in (*TOOLS, *OF_ANSWERS, *MEDIA)}
    extra = dict.fromkeys(fields | {"history"}, value)
    expected = convert(source, ROWS[source])
    assert convert(source, ROWS[source] | (extra if value is not False else {})) == expected
    turns = [turn | dict.fromkeys(fields, value) for turn in CHAT]
    assert convert("messages", {"messages": turns}).messages == CHAT


@pytest.mark.parametrize("source", sorted(ROWS.keys() - {"labelled"}))
@pytest.mark.parametrize("value", [True, False, "true", "False"])
@pytest.mark.parametrize("name", ["label", "kto_tag"])
def test_a_row_with_a_verdict_is_sent_to_the_source_for_it(source: str, name: str, value: Any) -> None:
    with pytest.raises(Rejected, match=f"`{name}`: rows with a label need the source `labelled`"):
        convert(source, ROWS[source] | {name: value})


def test_the_advice_for_a_label_of_another_name_says_how_to_read_it() -> None:
    labelled = {name: value for name, value in ROWS["labelled"].items() if name != "label"} | {"kto_tag": False}
    advice = "need the source `labelled` with `columns: {label: kto_tag}`, or `ignore_columns: [kto_tag]`"
    for source, row in (("messages", ROWS["messages"] | {"kto_tag": True}), ("labelled", labelled)):
        with pytest.raises(Rejected, match=re.escape(advice)):
            convert(source, row)
    assert not convert("labelled", labelled, columns={"label": "kto_tag"}).label


@pytest.mark.parametrize("value", [0, 1, -1, 1.0, "0", "1"])
def test_a_number_is_a_verdict_beside_a_conversation_and_a_class_beside_an_instruction(value: Any) -> None:
    for source in ("messages", "sharegpt", "preference"):
        with pytest.raises(Rejected, match="need the source `labelled`"):
            convert(source, ROWS[source] | {"label": value})
    assert convert("alpaca", ROWS["alpaca"] | {"label": value}) == convert("alpaca", ROWS["alpaca"])


@pytest.mark.parametrize("value", [None, "", "수학", 2, float("nan")])
def test_a_label_that_is_no_verdict_is_a_column_like_others(value: Any) -> None:
    assert convert("messages", ROWS["messages"] | {"label": value}) == convert("messages", ROWS["messages"])


@pytest.mark.parametrize("source", ROWS)
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("weight", 0, "`weight` is 0"),
        ("weight", 0.0, "`weight` is 0"),
        ("weight", "0", "`weight` is 0"),
        ("train", False, "`train` is false"),
        ("train", "false", "`train` is false"),
        ("loss", False, "`loss` is false"),
        ("loss", "0", "`loss` is false"),
        ("training", 0, "`training` is false"),
        ("training", "0", "`training` is false"),
        ("train", 0.0, "`train` is false"),
        ("train", "no", "`train` must be true or false"),
        ("weight", 0.5, "`weight` must be 0 or 1"),
        ("weight", "heavy", "`weight` must be 0 or 1"),
    ],
)
def test_a_row_that_is_not_to_be_trained_is_rejected(source: str, name: str, value: Any, reason: str) -> None:
    with pytest.raises(Rejected, match=f"^{reason}"):
        convert(source, ROWS[source] | {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight", 1),
        ("weight", 1.0),
        ("weight", None),
        ("weight", ""),
        ("train", True),
        ("train", None),
        ("train", float("nan")),
        ("train", " "),
        ("train", "1"),
        ("training", 1.0),
        ("loss", 0.0),
        ("loss", "0.0"),
        ("loss", None),
    ],
)
def test_a_row_that_may_be_trained_is_kept(name: str, value: Any) -> None:
    assert convert("messages", ROWS["messages"] | {name: value}) == convert("messages", ROWS["messages"])


@pytest.mark.parametrize(
    "switch", [{"weight": 0}, {"train": False}, {"loss": False}, {"training": "false"}, {"train": "0"}]
)
def test_an_answer_that_is_not_to_be_trained_is_context(switch: dict[str, Any]) -> None:
    off = {"role": "assistant", "content": "틀린 답", **switch}
    again = {"role": "user", "content": "다시"}
    row = convert("messages", {"messages": [CHAT[0], off, again, CHAT[1] | {"weight": 1}, again, off]})
    wrong = {"role": "assistant", "content": "틀린 답", "weight": 0}
    assert row.messages == [CHAT[0], wrong, again, CHAT[1]], "and no answer after the last one that is a target"
    with pytest.raises(Rejected, match="no answer is to be trained"):
        convert("messages", {"messages": [CHAT[0], off]})
    pair = convert("preference", {"prompt": [CHAT[0], off, again], "chosen": "답", "rejected": "몰라"})
    assert pair.prompt == [CHAT[0], {"role": "assistant", "content": "틀린 답"}, again]


def test_a_question_that_is_not_trained_is_as_all_are() -> None:
    turns = [CHAT[0] | {"weight": 0, "train": False}, CHAT[1]]
    assert convert("messages", {"messages": turns}).messages == CHAT


@pytest.mark.parametrize("source", ["messages", "sharegpt", "koalpaca"])
def test_a_history_that_a_source_does_not_read_is_named(source: str) -> None:
    with pytest.raises(Rejected, match="`history` is not supported by this source"):
        convert(source, ROWS[source] | {"history": [["하나", "둘"]]})


def test_a_column_that_the_recipe_ignores_or_names_changes_nothing() -> None:
    row = ROWS["messages"] | {"label": True, "reasoning": "생각", "weight": 0}
    ignored = convert("messages", row, ignore_columns=["label", "reasoning", "weight"])
    assert ignored == convert("messages", ROWS["messages"])
    mapped = convert(
        "alpaca", {"thinking": "질문", "label": "true"}, columns={"instruction": "thinking", "output": "label"}
    )
    assert mapped.messages == [{"role": "user", "content": "질문"}, {"role": "assistant", "content": "true"}]
    without = convert("messages", ROWS["messages"] | {"system": 5}, ignore_columns=["system"])
    assert without.messages == CHAT


def test_names_compare_after_composition() -> None:
    question, answer = "\u110c\u1175\u11af\u1106\u116e\u11ab", "\u1103\u1161\u11b8"
    columns = {"instruction": "질문", "output": answer}
    assert convert("alpaca", {question: "하나", "답": "둘"}, columns=columns).messages[0]["content"] == "하나"
    with pytest.raises(Rejected, match="two fields have the same name"):
        convert("alpaca", {question: "하나", "질문": "하나", "답": "둘"}, columns=columns)


def test_columns_that_nothing_reads_are_noted_once() -> None:
    columns = Columns(SourceConfig(source="messages", path="x", ignore_columns=["비고"]))
    for row in ({"url": 1}, {"url": 2, "tools": []}, {"label": "수학"}, {"id": 1, "비고": 2}, {"\ud83d": 3}):
        columns.fields(ROWS["messages"] | row)
    columns.look(["날짜", "messages"])
    assert columns.unread == {"url", "label", "날짜", "\\ud83d"}


def test_keys_of_turns_that_nothing_reads_are_noted() -> None:
    columns = Columns(SourceConfig(source="messages", path="x", columns={"messages": "대화"}))
    turns = [CHAT[0] | {"weight": 1, "images": [], "from": None}, CHAT[1] | {"think": "깊이", "\ud83d": 3}]
    columns.fields({"대화": turns, "id": [{"a": 1}]})
    assert columns.unread == {"대화.think", "대화.\\ud83d"}
    columns = Columns(SourceConfig(source="preference", path="x"))
    columns.fields({"chosen": {**CHAT[1], "name": "가"}, "rejected": "몰라", "history": [["가", "나"]]})
    assert columns.unread == {"chosen.name"}
