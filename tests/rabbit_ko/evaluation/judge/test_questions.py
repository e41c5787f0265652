"""Questions are read as upstream writes them; a mistake is one line with its place."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.judge.benches import BENCHES, find_bench
from rabbit_ko.evaluation.judge.questions import CATEGORIES, Question, load_questions, read_rows
from tests.dataset_builders.hub_server import Hub
from tests.rabbit_ko.evaluation.judge.cli import SAMPLE_HUB, SAMPLES, sample_rows, write_questions

LOGICKOR = BENCHES["logickor"]
HUB_PATH = "/{repo_id}/resolve/{revision}/{filename}"
KOMT = SAMPLE_HUB / "LGAI-EXAONE/KoMT-Bench/raw/question_ko.jsonl"
ROW: dict[str, Any] = {"id": 1, "category": "수학(Math)", "questions": ["하나?", "둘?"], "references": ["1", None]}


def load(file: str) -> list[Question]:
    """Read LogicKor's questions from a file."""
    return load_questions(replace(LOGICKOR, data="", file=file))


def test_this_projects_questions_are_two_a_category_in_upstreams_schema() -> None:
    questions = load(str(SAMPLES))
    assert SAMPLES.read_bytes().startswith(b"\xef\xbb\xbf")
    assert Counter(question.category for question in questions) == dict.fromkeys(CATEGORIES, 2)
    assert [len(row["questions"]) for row in sample_rows()].count(3) == 1
    assert {type(row.get("references")) for row in sample_rows()} == {list, type(None)}


@pytest.mark.parametrize("category", ["추론", "추론(Reasoning)", " 추론 (Reasoning) "])
def test_a_category_may_have_a_suffix(tmp_path: Path, category: str) -> None:
    file = write_questions(tmp_path / "q.jsonl", ROW | {"category": category})
    assert load(file)[0].category == "추론"


@pytest.mark.parametrize("category", ["math (hard)", "(other)", "수학 심화", ""])
def test_any_other_category_stays_as_it_is(tmp_path: Path, category: str) -> None:
    assert load(write_questions(tmp_path / "q.jsonl", ROW | {"category": category}))[0].category == category


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        (None, ("", "")),
        ([], ("", "")),
        (["가"], ("가", "")),
        ([None, "나"], ("", "나")),
        (["가", "나", None], ("가", "나")),
    ],
)
def test_references_are_optional_per_turn(tmp_path: Path, references: Any, expected: tuple[str, ...]) -> None:
    question = load(write_questions(tmp_path / "q.jsonl", ROW | {"references": references}))[0]
    assert (question.reference(0), question.reference(1)) == expected


def test_of_logickor_s_questions_two_count_and_of_others_all(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "references"} | {"questions": ["하나?", "둘?", "셋?"]}
    file = write_questions(tmp_path / "q.jsonl", row)
    assert load(file)[0].turns == ("하나?", "둘?")
    assert load_questions(find_bench(file))[0].turns == ("하나?", "둘?", "셋?")


@pytest.mark.parametrize(
    ("row", "turns", "reference"),
    [
        ({"id": "a", "questions": ["하나?", "둘?"], "references": ["1", None]}, ("하나?", "둘?"), "1"),
        ({"question_id": "a", "category": "math", "turns": ["하나?"], "reference": ["1"]}, ("하나?",), "1"),
        ({"id": "a", "question": " 하나? ", "reference": "1"}, ("하나?",), "1"),
        ({"id": "a", "prompt": "하나?", "other": {"of": "no matter"}}, ("하나?",), ""),
        ({"id": "a", "prompt": ["하나?"], "prompt_id": 3, "reference": None, "sub_category": "b"}, ("하나?",), ""),
        ({"id": "a", "prompt": "하나?", "references": None, "reference": "1"}, ("하나?",), "1"),
        ({"id": "a", "question": "하나?", "question_en": "One?", "source": "s", "level": 2}, ("하나?",), ""),
        ({"id": "a", "question": "하나?", "reference": "1", "reference_url": "u", "idx": 0}, ("하나?",), "1"),
    ],
)
def test_the_public_schemas_are_read(tmp_path: Path, row: Any, turns: tuple[str, ...], reference: str) -> None:
    [question] = read_rows(Path(write_questions(tmp_path / "q.jsonl", row)), Question)
    assert (question.name, question.turns, question.reference(0)) == ("a", turns, reference)


def test_a_question_without_an_id_has_that_of_its_line(tmp_path: Path) -> None:
    file = write_questions(tmp_path / "q.jsonl", {"question": "하나?"}, {"prompt": "둘?"})
    assert [question.name for question in read_rows(Path(file), Question)] == ["1", "2"]
    file = write_questions(tmp_path / "q.jsonl", {"id": 2, "question": "하나?"}, {"prompt": "둘?"})
    with pytest.raises(UserError, match=r"q\.jsonl:2: id 2 stands there twice"):
        read_rows(Path(file), Question)


def test_the_samples_of_komt_are_one_of_each_category_in_its_schema() -> None:
    bench = find_bench("komt", str(SAMPLE_HUB))
    rows = [json.loads(line) for line in Path(bench.file).read_text(encoding="utf-8").splitlines()]
    assert {tuple(sorted(row.keys() - {"reference"})) for row in rows} == {("category", "question_id", "turns")}
    categories = {"writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"}
    assert {question.category for question in load_questions(bench)} == categories
    assert {len(question.turns) for question in load_questions(bench)} == {2}


def test_a_bom_may_be_on_any_line_and_lines_may_hold_line_separators(tmp_path: Path) -> None:
    rows = [
        json.dumps(ROW | {"id": name, "questions": ["가\u2028나", "다\x85"]}, ensure_ascii=False) for name in "ab"
    ]
    (tmp_path / "q.jsonl").write_text("\ufeff" + "\r\n\ufeff".join(rows) + "\n\n", encoding="utf-8")
    assert [question.turns[0] for question in load(str(tmp_path / "q.jsonl"))] == ["가\u2028나"] * 2


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": 1}, "no question in it; it is called turns, questions, question or prompt"),
        ({"prompts": "하나?"}, "no question in it"),
        ({"question": "하나?", "referance": "b"}, "unknown key `referance`; did you mean `reference`"),
        ({"question": "하나?", "Reference": "b"}, "unknown key `Reference`; did you mean `reference`"),
        ({"question": "하나?", "reference_answer": "b"}, "unknown key `reference_answer`; did you mean `references`"),
        ({"promt": "하나?"}, "unknown key `promt`; did you mean `prompt`"),
        ({"turns": ["하나?"], "catagory": "수학"}, "unknown key `catagory`; did you mean `category`"),
        ({"question": "하나?", "prompt": "둘?"}, "`question` and `prompt` are the same thing; give one of them"),
        (ROW | {"reference": "1"}, "`references` and `reference` are the same thing"),
        ({"questions": ["하나?"], "references": ["1", "2"]}, "more references than questions: 2 for 1; give each"),
        (ROW | {"id": [1]}, "id."),
        (ROW | {"category": 3}, "category: Input should be a valid string"),
        (ROW | {"questions": []}, "questions is empty"),
        ({"prompt": " "}, "prompt 1 is empty"),
        ({"turns": {"a": 1}}, "turns: "),
        (ROW | {"questions": ["하나?", " "]}, "questions 2 is empty"),
        (ROW | {"questions": [1, 2]}, "questions: 0: "),
        (ROW | {"references": {"a": "가"}}, "references: "),
        (ROW | {"references": [1, 2]}, "references: 0: "),
        ([1], "Input should be an object"),
    ],
)
def test_a_row_that_is_no_question_is_named_with_its_line(tmp_path: Path, row: Any, expected: str) -> None:
    file = tmp_path / "q.jsonl"
    write_questions(file, ROW | {"id": "first"}, row)
    with pytest.raises(UserError, match=rf"q\.jsonl:2: {expected}") as raised:
        load(str(file))
    assert "\n" not in str(raised.value)


def test_an_id_may_not_stand_there_twice(tmp_path: Path) -> None:
    file = write_questions(tmp_path / "q.jsonl", ROW, ROW | {"id": "1"})
    with pytest.raises(UserError, match=r"q\.jsonl:2: id 1 stands there twice"):
        load(file)


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
        load(str(tmp_path / "q.jsonl"))


def test_without_a_file_they_come_from_the_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.data.add("maywell/LogicKor", private=False).commit({"questions.jsonl": SAMPLES.read_bytes()})
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", hub.url + HUB_PATH)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert load_questions(LOGICKOR) == load(str(SAMPLES))
    assert hub.count("resolve")
    hub.data.add("LGAI-EXAONE/KoMT-Bench", private=False).commit({"raw/question_ko.jsonl": KOMT.read_bytes()})
    assert load_questions(BENCHES["komt"]) == load_questions(find_bench("komt", str(SAMPLE_HUB)))


def test_offline_and_without_a_file_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        UserError, match=r"maywell/LogicKor: the questions cannot be downloaded: .*HUB_DIR=folder"
    ) as said:
        load_questions(LOGICKOR)
    assert "\n" not in str(said.value)
