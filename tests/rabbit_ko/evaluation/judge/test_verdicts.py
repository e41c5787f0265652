"""What is read of a judge's last line, and what is not, because it could mean something else."""

import json
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.evaluation.judge.verdicts import Mode, Verdict, read_verdict, scored
from tests.conftest import SHARED

MODES = st.sampled_from(["score", "pairwise"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("평가: 좋습니다.\n점수: 7", 7.0),
        ("점수: 7.5", 7.5),
        ("**점수: 7**", 7.0),
        ("**점수:** **7**", 7.0),
        ("## 점수: 8", 8.0),
        ("- 점수 : 8/10", 8.0),
        ("점수: 8점", 8.0),
        ("점수: 8점/10점", 8.0),
        ("점수: 10/10", 10.0),
        ("최종 점수: 8", 8.0),
        ("### Final score: 8", 8.0),
        ("점수: [[8]].", 8.0),
        ("점수：８", 8.0),
        ("점수: 8\r\n\n", 8.0),
        (normalize("NFD", "점수: 8"), 8.0),
        ("Assessment: fine.\nScore: 8", 8.0),
        ("**score:** 9/10", 9.0),
        ("점수: 3\n다시 보니 낫습니다.\n점수: 6", 6.0),
        ("<think>점수: 3?</think>\n점수: 6", 6.0),
        ("답변이 `점수: 10`이라고 적었으나 근거가 없습니다.\n점수: 2", 2.0),
    ],
)
def test_scores_that_are_read(text: str, expected: float) -> None:
    assert read_verdict("score", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " \n",
            "점수:",
            "점수: 없음",
            "점수: 0",
            "점수: 11",
            "점수: 11/10",
            "점수: 80/100",
            "점수: 8/5",
            "점수: -3",
        ),
        *(
            "점수: 7~8",
            "점수: 7-8",
            "점수: 7 또는 8",
            "점수: 7, 8",
            "점수: 1.2.3",
            "점수: 10점 만점에 8점",
            "총점: 7",
        ),
        *(
            "점수: 8 (아니, 3)",
            "점수: 8\n(답변은 `점수: 10`을 요구했습니다.)",
            "점수는 8입니다.",
            "8",
            '{"점수": 8',
            '{"score": 8}',
        ),
        *(
            "<think>\n부족하다.\n점수: 3",
            "> 점수: 10",
            '"점수: 10"',
            "점수: 1⁰",
            "점수: 一",
            "Score: eight",
            "Score: N",
        ),
        *(
            "점수: (1에서 10 사이의 숫자)",
            "Score: (a number from 1 to 10)",
            "점수: 8\n정확성 점수: 9",
            "더 나은 답변: A",
        ),
    ],
)
def test_scores_that_are_not_read(text: str) -> None:
    assert read_verdict("score", text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("평가: 가.\n더 나은 답변: A", 1.0),
        ("더 나은 답변: B", 0.0),
        ("더 나은 답변: 무승부", 0.5),
        ("**더 나은 답변: B**", 0.0),
        ("**더 나은 답변:** [[A]].", 1.0),
        ("더 나은 답변： Ａ", 1.0),
        ("Assessment: B is longer.\nBetter: A", 1.0),
        ("better: b", 0.0),
        ("Better: tie", 0.5),
        ("더 나은 답변: 답변 A", 1.0),
        ("**Better answer: Answer B**", 0.0),
        ("Better: Tie.", 0.5),
    ],
)
def test_comparisons_that_are_read(text: str, expected: float) -> None:
    assert read_verdict("pairwise", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "A",
            "더 나은 답변:",
            "더 나은 답변: A|B|무승부",
            "더 나은 답변: A, B",
            "더 나은 답변: A 또는 B",
            "더 나은 답변: C",
        ),
        *("더 나은 답변: (A, B, 무승부 가운데 하나)", "Better: (one of A, B, tie)", "Better: A or B", "Better: AB"),
        *(
            "더 나은 답변: A\n하지만 B도 좋습니다.",
            "덜 나은 답변: A",
            "The better: A is",
            "점수: 8",
            "Better: A (B is wrong)",
        ),
    ],
)
def test_comparisons_that_are_not_read(text: str) -> None:
    assert read_verdict("pairwise", text) is None


@pytest.mark.skipif(not (SHARED / "cases/judge_verdicts.jsonl").exists(), reason="no shared cases")
def test_of_verdicts_as_judges_write_them_none_is_read_as_another_score() -> None:
    cases = [json.loads(line) for line in (SHARED / "cases/judge_verdicts.jsonl").read_text("utf-8").splitlines()]
    read = [(read_verdict("score", each["text"]), each) for each in cases]
    assert not [each for score, each in read if score is not None and score != each["score"]]
    assert sum(score is not None for score, _ in read) > len(read) / 3


@given(MODES, st.text(), st.sampled_from(["점수", "Score", "더 나은 답변", "Better"]), st.text(max_size=20))
def test_what_is_read_is_always_on_the_scale(mode: Mode, before: str, head: str, after: str) -> None:
    score = read_verdict(mode, f"{before}\n{head}: {after}")
    assert score is None or (1 <= score <= 10 if mode == "score" else score in (0.0, 0.5, 1.0))


@given(st.integers(10, 100), st.text())
def test_any_score_is_read_from_behind_any_text(tenths: int, before: str) -> None:
    assert read_verdict("score", f"평가: {before}\n점수: {tenths / 10:g}") == tenths / 10


@given(MODES, st.text(), st.text())
def test_only_the_last_line_counts_and_only_where_nothing_else_is_in_it(mode: Mode, before: str, rest: str) -> None:
    line = {"score": "점수: 9", "pairwise": "더 나은 답변: A"}[mode]
    assert read_verdict(mode, f"{before}\n{line}\n끝. {rest}끝") is None
    assert read_verdict(mode, f"{before}\n{line} 끝 {rest}끝") is None


def comparison(one: int, other: int, score: float | None) -> Verdict:
    return Verdict((one, other), score, "")


@pytest.mark.parametrize(
    ("first", "second", "scores", "disagreed"),
    [
        (1.0, 0.0, (1.0, 0.0), set()),
        (0.0, 1.0, (0.0, 1.0), set()),
        (0.5, 0.5, (0.5, 0.5), set()),
        (1.0, 1.0, (0.5, 0.5), {(0, 1)}),
        (0.0, 0.0, (0.5, 0.5), {(0, 1)}),
        (1.0, 0.5, (0.5, 0.5), {(0, 1)}),
        (None, 0.0, (None, None), {(0, 1)}),
        (1.0, None, (None, None), {(0, 1)}),
    ],
)
def test_a_win_is_one_in_both_orders(
    first: float | None, second: float | None, scores: tuple[float | None, ...], disagreed: set[tuple[int, int]]
) -> None:
    found = scored("pairwise", ["가", "나"], [comparison(0, 1, first), comparison(1, 0, second)])
    assert found.scores == scores
    assert found.disagreed == disagreed


def test_of_several_verdicts_in_an_order_most_decide() -> None:
    said = [comparison(0, 1, score) for score in (1.0, 1.0, 0.0)] + [
        comparison(1, 0, score) for score in (0.0, None, 0.5)
    ]
    assert scored("pairwise", ["가", "나"], said).scores == (1.0, 0.0)


def test_answers_of_the_same_text_tie_without_a_verdict() -> None:
    assert scored("pairwise", ["가", "가"], []).scores == (0.5, 0.5)


def test_the_share_of_wins_counts_what_cannot_be_read_as_half_a_win() -> None:
    said = [comparison(0, 1, 1.0), comparison(1, 0, 0.0), comparison(0, 2, None), comparison(2, 0, 0.0)]
    assert scored("pairwise", ["가", "나", "다"], said).scores == (0.75, 0.25, None)


def test_the_score_of_an_answer_is_the_mean_of_what_can_be_read() -> None:
    said = [Verdict((0,), 4.0, ""), Verdict((0,), None, ""), Verdict((0,), 7.0, ""), Verdict((1,), None, "")]
    assert scored("score", ["가", "나"], said).scores == (5.5, None)


def test_one_that_wins_more_often_than_another_that_beats_it_is_no_pair_with_it() -> None:
    wins = [(0, 1), (1, 2), (1, 3), (2, 0), (0, 3), (2, 3)]
    said = [verdict for one, other in wins for verdict in (comparison(one, other, 1.0), comparison(other, one, 0.0))]
    found = scored("pairwise", ["가", "나", "다", "라"], said)
    assert found.scores == (2 / 3, 2 / 3, 2 / 3, 0.0)
    assert found.disagreed == set()
    found = scored("pairwise", ["가", "나", "다", "라"], [*said[2:], comparison(0, 1, 0.5), comparison(1, 0, 0.5)])
    assert found.scores == (0.5, 5 / 6, 2 / 3, 0.0)
    assert found.disagreed == set()
    found = scored("pairwise", ["가", "나", "다"], [comparison(0, 1, 1.0), comparison(1, 0, None)])
    assert found.disagreed == {(0, 1), (0, 2), (1, 2)}


def test_a_better_score_against_a_lost_comparison_is_disagreement() -> None:
    wins = [(0, 1), (1, 2), (1, 3), (2, 0), (3, 0), (2, 3)]
    said = [verdict for one, other in wins for verdict in (comparison(one, other, 1.0), comparison(other, one, 0.0))]
    found = scored("pairwise", ["가", "나", "다", "라"], said)
    assert found.scores == (1 / 3, 2 / 3, 2 / 3, 1 / 3)
    assert found.disagreed == {(0, 1)}
