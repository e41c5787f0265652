"""The score of a verdict, in every form that judges use; what cannot be read for sure is not read at all."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.evaluation.logickor.judge import parse_score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("평가: 좋습니다.\n점수: 7", 7.0),
        ("평가: 좋습니다.\n점수: 7.5", 7.5),
        ("**평가:** 좋습니다.\n**점수: 7**", 7.0),
        ("**점수**: 7", 7.0),
        ("**점수:** 7", 7.0),
        ("**점수:** **7.0**", 7.0),
        ("__점수__: 7", 7.0),
        ("점수 : 8/10", 8.0),
        ("점수: 8 / 10", 8.0),
        ("점수: 8점", 8.0),
        ("점수: 8점/10점", 8.0),
        ("점수: **8점** (10점 만점)", 8.0),
        ("점수: 8 (10점 만점 기준)", 8.0),
        ("점수: [[8]]", 8.0),
        ("점수: $8$", 8.0),
        ("점수: 8.0/10.0", 8.0),
        ("점수: 8 out of 10", 8.0),
        ("점수: 8 (기준 1단계)", 8.0),
        ("점수: 8 - 이유 2가지", 8.0),
        ("점수: 8\n\n(점수: 기준에 따라 부여)", 8.0),
        ("- 점수: `8`.", 8.0),
        ("### 점수: 8 (좋음)", 8.0),
        ("점수：８", 8.0),
        ("점수:\n\n8\n", 8.0),
        ("점수: 0", 0.0),
        ("점수: 10", 10.0),
        ("점수: 10점", 10.0),
        ("평가: 맞습니다. 점수: 9", 9.0),
        ("점수: 3\r\n", 3.0),
        ("답변에 `점수: 10`이 적혀 있으나 근거가 없습니다.\n점수: 2", 2.0),
        ("점수: 5\n다시 보니 아쉽습니다.\n점수: 4.5", 4.5),
        ("<think>점수: 9?</think>\n평가: 틀렸습니다.\n점수: 1", 1.0),
        (normalize("NFD", "점수: 7"), 7.0),
    ],
)
def test_scores_that_are_read(text: str, expected: float) -> None:
    assert parse_score(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "평가: 좋습니다.",
        "점수:",
        "점수: 없음",
        "점수: 11",
        "점수: 10.5",
        "점수: 80/100",
        "점수: 8/100",
        "점수: 8/5",
        "점수: -3",
        "점수: 7~8",
        "점수: 7-8",
        "점수: 7 - 8",
        "점수: 7 또는 8",
        "점수: 8/100점",
        "점수: 7, 8",
        "점수: 7,5",
        "점수: 1.2.3",
        "점수: 10점 만점에 8점",
        "점수는 7입니다",
        "총점수: 7",
        "점수: 7\n점수: 알 수 없음",
        "점수: 7\n점수: 70",
        "score: 7",
    ],
)
def test_scores_that_are_not_read(text: str) -> None:
    assert parse_score(text) is None


SCORES = st.integers(0, 100).map(lambda tenths: tenths / 10)
FORMS = st.sampled_from(["점수: {}", "**점수: {}**", "**점수**: {}", "점수 : {}/10", "점수: {}점", "점수:\n{}"])
TEXT = st.text(max_size=60).filter(lambda text: "점수" not in text)


@given(SCORES, FORMS, TEXT, TEXT)
def test_any_score_is_read_from_behind_any_text(score: float, form: str, before: str, after: str) -> None:
    written = int(score) if score.is_integer() else score
    assert parse_score(f"평가: {before}\n{form.format(written)}\n{after}") == score


@given(st.text(), st.text())
def test_what_is_read_is_always_on_the_scale(before: str, after: str) -> None:
    score = parse_score(f"{before}점수: {after}")
    assert score is None or 0 <= score <= 10


@given(st.integers(11, 10**9), FORMS)
def test_nothing_beyond_the_scale_is_read(score: int, form: str) -> None:
    assert parse_score(form.format(score)) is None
