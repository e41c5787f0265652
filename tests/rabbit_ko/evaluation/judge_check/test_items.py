"""Items of this project and of files: what is read, in which order answers are, and what is no item."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.judge.rubric import hangul_share
from rabbit_ko.evaluation.judge_check.items import Item, read_items
from rabbit_ko.evaluation.judge_check.probes import PROBES
from tests.conftest import ROOT

ROW = {"id": "1", "question": "무엇인가요?", "answers": ["가", "나", "다"]}


def file_of(folder: Path, *rows: Any) -> Path:
    """A file of rows, with a BOM and an empty line."""
    file = folder / "items.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n\n".join(lines) + "\n", encoding="utf-8-sig")
    return file


def test_the_project_s_own_are_twenty_five_with_three_answers_each() -> None:
    items = read_items()
    assert len(items) == 25
    assert {len(item.answers) for item in items} == {3}
    assert [item.language for item in items].count("ko") == 21
    for item in items:
        assert not item.english or hangul_share(item.english) < 0.25
        assert not item.mixed or 0.2 < hangul_share(item.mixed) < 0.6


def test_answers_are_ranked_as_they_stand_or_as_people_scored_them(tmp_path: Path) -> None:
    plain, scored = read_items(file_of(tmp_path, ROW, {**ROW, "id": "2", "human": [3, 8, 3]}))
    assert sorted(plain.ranked) == [(0, 1), (0, 2), (1, 2)]
    assert sorted(scored.ranked) == [(0, 1), (0, 2)]
    assert (scored.answers, scored.human) == (("나", "가", "다"), (8, 3, 3))
    assert plain.pairs == scored.pairs == [(0, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**ROW, "answers": []}, "answers is empty"),
        ({**ROW, "answers": ["가", " 가"]}, ":3: two answers are the same; give each once"),
        ({**ROW, "answers": ["가", " "]}, "answers 2 is empty"),
        ({**ROW, "human": [1, 2]}, ":3: 2 scores in `human` for 3 answers; give each one"),
        ({**ROW, "human": [1, 2, 11]}, "a score in `human` is not from 1 to 10"),
        (
            '{"id": "1", "question": "뭐?", "answers": ["가"], "human": [NaN]}',
            "a score in `human` is not from 1 to 10",
        ),
        ({**ROW, "score": 3}, "score: Extra inputs are not permitted"),
        ({"id": "1", "answers": ["가"]}, "question: Field required"),
        ("[]", "Input should be an object"),
        ("{", "Invalid JSON"),
    ],
)
def test_what_is_no_item_is_one_line_with_its_place(tmp_path: Path, row: Any, said: str) -> None:
    file = file_of(tmp_path, {**ROW, "id": "0"}, row)
    with pytest.raises(UserError) as raised:
        read_items(file)
    assert str(raised.value).startswith(f"{file}:3: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_id_that_stands_there_twice_and_a_file_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r":3: id 1 stands there twice"):
        read_items(file_of(tmp_path, ROW, ROW))
    with pytest.raises(UserError, match="no row in it"):
        read_items(file_of(tmp_path, ""))


def test_the_item_in_the_documents_is_one() -> None:
    [shown] = re.findall(r"```json\n(.*?)```", (ROOT / "docs/judges.md").read_text(encoding="utf-8"), re.DOTALL)
    item = Item.model_validate_json(shown)
    assert item.ranked == [(0, 1)]
    assert item.model_fields_set == {*Item.model_fields}


def test_demands_are_made_for_the_answer_that_people_found_worst() -> None:
    item = Item.model_validate({**ROW, "answers": ["나쁨", "좋음"], "human": [2, 9]})
    assert (PROBES["demand"].text(item) or "").startswith("나쁨")


def test_an_item_of_one_answer_has_no_pair() -> None:
    assert Item.model_validate({**ROW, "answers": ["가"]}).ranked == []
