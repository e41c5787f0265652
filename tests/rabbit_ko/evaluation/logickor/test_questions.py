"""Questions are read as upstream writes them; a mistake is one line with its place."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.logickor.questions import CATEGORIES, load_questions
from tests.dataset_builders.hub_server import Hub
from tests.rabbit_ko.evaluation.logickor.cli import SAMPLES, sample_rows, write_questions

HUB_PATH = "/{repo_id}/resolve/{revision}/{filename}"
ROW: dict[str, Any] = {"id": 1, "category": "수학(Math)", "questions": ["하나?", "둘?"], "references": ["1", None]}


def test_this_projects_questions_are_two_a_category_in_upstreams_schema() -> None:
    questions = load_questions(str(SAMPLES))
    assert SAMPLES.read_bytes().startswith(b"\xef\xbb\xbf")
    assert Counter(question.category for question in questions) == dict.fromkeys(CATEGORIES, 2)
    assert [len(row["questions"]) for row in sample_rows()].count(3) == 1
    assert {type(row.get("references")) for row in sample_rows()} == {list, type(None)}


@pytest.mark.parametrize("category", ["추론", "추론(Reasoning)", " 추론 (Reasoning) "])
def test_a_category_may_have_a_suffix(tmp_path: Path, category: str) -> None:
    file = write_questions(tmp_path / "q.jsonl", ROW | {"category": category})
    assert load_questions(file)[0].category == "추론"


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (None, (None, None)),
        ([], (None, None)),
        (["가"], ("가", None)),
        ([None, "나"], (None, "나")),
        (["가", "나", "다"], ("가", "나")),
    ],
)
def test_references_are_optional_per_turn(tmp_path: Path, references: Any, expected: tuple[str | None, ...]) -> None:
    file = write_questions(tmp_path / "q.jsonl", ROW | {"references": references})
    assert load_questions(file)[0].references == expected


def test_references_may_be_absent_and_of_three_questions_two_count(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "references"} | {"questions": ["하나?", "둘?", "셋?"]}
    question = load_questions(write_questions(tmp_path / "q.jsonl", row))[0]
    assert (question.questions, question.references) == (("하나?", "둘?"), (None, None))


def test_a_bom_may_be_on_any_line_and_lines_may_hold_line_separators(tmp_path: Path) -> None:
    rows = [
        json.dumps(ROW | {"id": name, "questions": ["가\u2028나", "다\x85"]}, ensure_ascii=False) for name in "ab"
    ]
    (tmp_path / "q.jsonl").write_text("\ufeff" + "\r\n\ufeff".join(rows) + "\n\n", encoding="utf-8")
    assert [question.questions[0] for question in load_questions(str(tmp_path / "q.jsonl"))] == ["가\u2028나"] * 2


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": 1}, "category: Field required"),
        (ROW | {"id": None}, "id."),
        (ROW | {"category": "과학"}, "category: Input should be '추론', "),
        (ROW | {"questions": ["하나?"]}, "questions: 1: Input should be a valid string"),
        (ROW | {"questions": "하나?"}, "questions: "),
        (ROW | {"questions": ["하나?", " "]}, "questions: 1: "),
        (ROW | {"questions": [1, 2]}, "questions: 0: "),
        (ROW | {"references": "가"}, "references: "),
        (ROW | {"references": [1, 2]}, "references: 0: "),
        ([1], "Input should be an object"),
    ],
)
def test_a_row_that_is_no_question_is_named_with_its_line(tmp_path: Path, row: Any, expected: str) -> None:
    file = tmp_path / "q.jsonl"
    write_questions(file, ROW | {"id": "first"}, row)
    with pytest.raises(UserError, match=rf"q\.jsonl:2: {expected}") as raised:
        load_questions(str(file))
    assert "\n" not in str(raised.value)


def test_an_id_may_not_stand_there_twice(tmp_path: Path) -> None:
    file = write_questions(tmp_path / "q.jsonl", ROW, ROW | {"id": "1"})
    with pytest.raises(UserError, match=r"q\.jsonl:2: id 1 stands there twice"):
        load_questions(file)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "q.jsonl: no row in it"),
        (b"\xff\xff", "q.jsonl:1: Invalid JSON"),
        (b'{"id": 1,', "q.jsonl:1: Invalid JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "q.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        load_questions(str(tmp_path / "q.jsonl"))


def test_without_a_file_they_come_from_the_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.data.add("maywell/LogicKor", private=False).commit({"questions.jsonl": SAMPLES.read_bytes()})
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", hub.url + HUB_PATH)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert load_questions() == load_questions(str(SAMPLES))
    assert hub.count("resolve")


def test_offline_and_without_a_file_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        UserError, match=r"maywell/LogicKor: the questions cannot be downloaded: .*QUESTIONS=file"
    ) as said:
        load_questions()
    assert "\n" not in str(said.value)
