"""The rules that judge without a judge: what each one finds right, and how numbers are read."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.pairs import rules
from rabbit_ko.pairs.records import Answer, Prompt


def score(rule: str, text: str, reference: str = "", ended: bool = True, **arguments: Any) -> float:
    asked = Prompt("q/1", "q", [{"role": "user", "content": "?"}], reference)
    return float(getattr(rules, rule)(asked, Answer("a", text, ended), **arguments))


def test_an_answer_that_was_cut_does_not_end_by_itself() -> None:
    assert (score("ends", "네"), score("ends", "네", ended=False)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0.0), ("가", 0.0), (" 가나 ", 1.0), ("가나다", 1.0), ("가나다라", 0.0)]
)
def test_a_length_is_of_characters_within_both_bounds(text: str, expected: float) -> None:
    assert score("within", text, least=2, most=3) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("서울입니다.", 1.0),
        ("Seoul", 0.0),
        ("", 0.0),
        ("123", 0.0),
        ("서울 ab", 0.5),
        ("2026년", 1.0),
        ("ㅋㅋ", 1.0),
        ("한국", 1.0),
    ],
)
def test_the_share_of_hangul_is_of_letters(text: str, expected: float) -> None:
    assert score("hangul", text) == expected
    assert score("hangul", text, least=0.5) == float(expected >= 0.5)


def test_an_answer_that_says_the_same_again_is_hardly_distinct() -> None:
    assert score("distinct", "서울은 대한민국의 수도이며 가장 큰 도시입니다.") == 1.0
    assert score("distinct", "서울입니다. " * 50) < 0.1
    assert score("distinct", "네.") == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("서울이야.", 1.0),
        ("서울이야", 1.0),
        ("서울이야!! \n", 1.0),
        ("이야 서울", 0.0),
        ("", 0.0),
        ('"서울이야."', 1.0),
    ],
)
def test_the_last_word_counts_whatever_punctuation_follows(text: str, expected: float) -> None:
    assert score("ends_with", text, word="이야") == score("ends_with", text, word="이야.") == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^답: [0-9]+$", "답: 42", 1.0),
        ("^답: [0-9]+$", "그래서 답: 42", 0.0),
        ("(?m)^- ", "목록\n- 하나", 1.0),
        ("다\\.$", "한다.", 1.0),
    ],
)
def test_a_format_is_a_regular_expression(pattern: str, text: str, expected: float) -> None:
    assert score("matches", text, pattern=pattern) == expected


@pytest.mark.hostile
@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|aa)+$", r"^(a|a)*$", r"(a*)*b"])
def test_a_format_that_python_would_take_years_for_takes_no_time(pattern: str) -> None:
    assert score("matches", "a" * 100_000 + "!", pattern=pattern) == 0.0


def test_a_pattern_that_is_none_is_said_to_be_one() -> None:
    with pytest.raises(ValueError, match="missing"):
        score("matches", "가", pattern="(")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(('{"가": 1}', 1.0), ("[1, 2]", 1.0), ("3", 1.0), ('```json\n{"가": [1]}\n```', 1.0), ("```\n{}\n```", 1.0)),
        *(('{"가": 1', 0.0), ("{'가': 1}", 0.0), ("", 0.0), ("NaN", 0.0), ('답: {"가": 1}', 0.0), ("```json", 0.0)),
        *(("[" * 100_000, 0.0), ("9" * 10_000, 0.0), ("``````", 0.0)),
    ],
)
def test_json_is_the_whole_answer_or_its_only_block(text: str, expected: float) -> None:
    assert score("is_json", text) == expected


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("서울.", "서울", 1.0),
        (" 서울  특별시", "서울 특별시", 1.0),
        ("SEOUL", "Seoul", 1.0),
        ("부산", "서울", 0.0),
        ("", "", 0.0),
    ],
)
def test_an_answer_equals_its_reference_but_for_case_and_white_space(
    text: str, reference: str, expected: float
) -> None:
    assert score("equals", text, reference) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(
            ("답은 42입니다.", 42),
            ("3 + 4 = 7", 7),
            ("1,234,567원", 1_234_567),
            ("-5", -5),
            ("−5도", -5),
            ("0.50", "1/2"),
        ),
        *(("3.14", "3.14"), ("3/4", "3/4"), ("-3/4", "-3/4"), ("４２", 42), ("x2는 3", 3), ("10-4", 4), ("(7)", 7)),
        *(("계산: 3 * 4\n#### 12\n검산: 3", 12), ("#### 1,200개 (10번)", 1200), ("#### 5\n#### 6 7", 6)),
        *(
            ("3만 5천 원", 35_000),
            ("1억 2,000만 명", 120_000_000),
            ("2.5만", 25_000),
            ("5천", 5_000),
            ("3만 2만", 20_000),
        ),
        *(
            ("#### 3만 5천 100원, 7개", 35_100),
            ("3만, 5", 5),
            ("1억 2,000만 5", 120_000_005),
            ("1, 2, 3", 3),
            ("1,23", 23),
        ),
        *(("", None), ("없습니다", None), ("#### 없음", None), ("3\n#### 없음", None)),
    ],
)
def test_a_number_is_read_however_it_is_written(text: str, expected: int | str | None) -> None:
    assert rules.read_number(text) == (None if expected is None else Fraction(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(
            ("5보다 3만큼 더 큽니다.", 3),
            ("피자 3조각", 3),
            ("사과가 3만 남습니다.", 3),
            ("3개씩 4조로 나눕니다.", 4),
        ),
        *(("4조가 됩니다", 4), ("3만으로는 부족합니다", 3), ("꽃 3 조각", 3), ("3백신", 3), ("3만 대신", 3)),
        *(("3만 명", 30_000), ("3만원", 30_000), ("3만 원을 냅니다", 30_000), ("3만5천", 35_000), ("3만", 30_000)),
        *(("3만입니다.", 30_000), ("답은 3만이다", 30_000), ("3만을 더하면", 30_000), ("3만 이상", 30_000)),
        *(
            ("3만 5천으로 계산하면", 35_000),
            ("4조 원", 4 * 10**12),
            ("4조 5천억", 45 * 10**11),
            ("2조입니다", 2 * 10**12),
        ),
        *(("3백", 300), ("3백만 명", 3_000_000), ("3백만큼", 300), ("2천만 원", 20_000_000), ("5십 명", 50)),
        *(("3천 5백만 원", 35_000_000), ("1억 2천 5백만 3천 4백", 125_003_400), ("5천 2백", 5_200), ("3만\n5", 5)),
        *(
            (r"$\frac{1}{2}$", "1/2"),
            (r"\dfrac{ 3 }{ 4 }입니다", "3/4"),
            (r"-\frac{3}{4}", "-3/4"),
            (r"1{,}234", 1234),
        ),
        *(
            (r"답: $2\frac{1}{2}$", "5/2"),
            (r"\frac{-1}{2}", "-1/2"),
            (r"\boxed{\tfrac{10}{4}}", "5/2"),
            (r"\frac{1}{0}", 0),
        ),
    ],
)
def test_a_unit_is_one_and_no_beginning_of_another_word_and_fractions_are_those_of_latex(
    text: str, expected: int | str
) -> None:
    assert rules.read_number(text) == Fraction(expected)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "text", ["1" * 100_000, "1 " * 50_000, r"\frac{" * 20_000, "3만 " * 30_000, "1,111" * 20_000]
)
def test_numbers_are_read_in_time_in_proportion_to_the_text(text: str) -> None:
    assert rules.read_number(text) is not None or "frac" in text


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("모두 35,000원입니다.", "풀이...\n#### 35000", 1.0),
        ("모두 3만 5천 원입니다.", "#### 35000", 1.0),
        ("#### 12.0", "12", 1.0),
        ("13", "12", 0.0),
        ("모르겠습니다.", "12", 0.0),
        ("모르겠습니다.", "", 0.0),
        ("12", "", 0.0),
    ],
)
def test_a_number_is_right_where_it_is_that_of_the_reference(text: str, reference: str, expected: float) -> None:
    assert score("number", text, reference) == expected


@given(st.integers(-(10**15), 10**15), st.text(alphabet="가나다 abc.\n"))
def test_any_number_is_read_with_commas_and_without(number: int, before: str) -> None:
    assert rules.read_number(f"{before} 답은 {number}") == rules.read_number(f"{before} 답은 {number:,}개") == number


@given(st.text())
def test_any_text_has_a_score_by_each_rule(text: str) -> None:
    arguments: dict[str, dict[str, Any]] = {"ends_with": {"word": "다"}, "matches": {"pattern": "다$"}}
    for rule in ("ends", "within", "hangul", "distinct", "ends_with", "matches", "is_json", "equals", "number"):
        assert 0.0 <= score(rule, text, text, **arguments.get(rule, {})) <= 1.0
