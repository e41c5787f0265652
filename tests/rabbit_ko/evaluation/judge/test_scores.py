"""The table of judged rows: plain means, as upstream has them; nothing missing or doubled changes them unseen."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.judge.questions import CATEGORIES
from rabbit_ko.evaluation.judge.scores import Row, read_judged, render, samples, scores, turn_names
from rabbit_ko.evaluation.records import Score
from tests.rabbit_ko.evaluation.rabbit import rabbit

SUFFIXES = dict(zip(CATEGORIES, ("Reasoning", "Math", "Writing", "Coding", "Understanding", "Grammar"), strict=True))
SCORE = st.integers(0, 20).map(lambda halves: halves / 2)


def judged_row(number: int, single: Any, multi: Any, **more: Any) -> dict[str, Any]:
    """A row as upstream writes it; seven ids in a row share a category."""
    category = CATEGORIES[(number - 1) // 7]
    return {
        "id": number,
        "category": f"{category}({SUFFIXES[category]})",
        "questions": ["하나?", "둘?"],
        "outputs": ["일", "이"],
        "references": [None, "이"],
        "query_single": {"judge_message": "좋습니다.", "judge_score": single},
        "query_multi": {"judge_message": "좋습니다.", "judge_score": multi},
    } | more


def judged_rows() -> list[dict[str, Any]]:
    """All 42 rows, in the order in which a judge with many threads ends them."""
    rng = random.Random(7)
    rows = [judged_row(number, rng.randint(0, 20) / 2, rng.randint(0, 20) / 2) for number in range(1, 43)]
    rng.shuffle(rows)
    return rows


def write(file: Path, rows: Sequence[Any]) -> Path:
    """Write rows as upstream does, with a BOM."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8-sig")
    return file


def table(file: Path) -> dict[str, list[str]]:
    """Print a file's table; return the cells of each row by its name."""
    result = rabbit("score", str(file))
    assert result.exit_code == 0, result.output
    head, _, *rows = [line for line in result.stdout.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in head.strip("|").split("|")][:5] == HEADINGS
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {row[0]: row[1:] for row in cells}


HEADINGS = ["Category", "Questions", "Single", "Multi", "Overall"]
TURNS = ["single", "multi"]


def plain(rows: list[dict[str, Any]]) -> list[str]:
    """The plain means to two decimals, by the simplest possible rule."""
    columns = [[row[f"query_{metric}"]["judge_score"] for row in rows] for metric in ("single", "multi")]
    single, multi = (sum(column) / len(column) for column in columns)
    return [f"{value:.2f}" for value in (single, multi, (single + multi) / 2)]


def values(cells: list[str]) -> list[str]:
    """The figures of a table's row, without their errors."""
    return [cell.split(" ± ")[0].split(" (")[0] for cell in cells[1:4]]


def test_the_plain_means_of_upstreams_rows_are_reproduced(tmp_path: Path) -> None:
    rows = judged_rows()
    printed = table(write(tmp_path / "judged.jsonl", rows))
    assert values(printed["Total"]) == plain(rows)
    for category in CATEGORIES:
        assert values(printed[category]) == plain([row for row in rows if row["category"].startswith(category)])
    assert [printed[category][0] for category in (*CATEGORIES, "Total")] == ["7"] * 6 + ["42"]


def test_the_total_is_over_questions_and_not_over_categories(tmp_path: Path) -> None:
    rows = [judged_row(1, 10, 10), *(judged_row(number, 2, 2) for number in (8, 9, 10))]
    assert values(table(write(tmp_path / "judged.jsonl", rows))["Total"]) == ["4.00"] * 3


def test_a_third_question_output_or_score_changes_nothing(tmp_path: Path) -> None:
    rows = judged_rows()
    third = {"questions": ["하나?", "둘?", "셋?"], "outputs": ["일", "이", "삼"], "references": [None, "이", "삼"]}
    extended = [row | third | {"query_third": {"judge_score": 10.0}} for row in rows]
    assert table(write(tmp_path / "a.jsonl", extended)) == table(write(tmp_path / "b.jsonl", rows))


def test_a_row_that_stands_there_twice_is_named(tmp_path: Path) -> None:
    rows = [judged_row(1, 3, 4), judged_row(7, 5, 6), judged_row(7, 5, 6)]
    with pytest.raises(UserError, match=r"judged\.jsonl:3: id 7 stands there twice"):
        read_judged(write(tmp_path / "judged.jsonl", rows))


def test_a_missing_row_is_counted_and_in_no_mean(tmp_path: Path) -> None:
    rows = [row for row in judged_rows() if row["id"] not in (9, 30)]
    printed = table(write(tmp_path / "judged.jsonl", rows))
    assert values(printed["Total"]) == plain(rows)
    assert printed["Total"][0] == "40 of 42"
    assert (printed["수학"][0], printed["이해"][0]) == ("6", "6")


MISSING: list[Any] = [None, "8", float("nan"), 11, -1, True, [8.0]]


@pytest.mark.parametrize("score", MISSING)
def test_a_missing_verdict_is_counted_and_never_0(tmp_path: Path, score: Any) -> None:
    rows = [judged_row(1, 6, score), judged_row(2, 8, 4), judged_row(8, 1, 1)]
    printed = table(write(tmp_path / "judged.jsonl", rows))
    assert values(printed["추론"]) == ["7.00", "4.00", "5.50"]
    assert values(printed["Total"]) == ["5.00", "2.50", "3.75"]
    for name, missing in {"추론": "(1 missing)", "수학": "", "Total": "(1 missing)"}.items():
        assert [cell.partition(" (")[2] for cell in printed[name][1:]] == ["", missing[1:], missing[1:]]


@pytest.mark.parametrize("query", [None, {}, "좋습니다."])
def test_a_verdict_without_a_score_is_missing(tmp_path: Path, query: Any) -> None:
    row = judged_row(1, 6, 6) | {"query_multi": query}
    for rows in ([row], [{key: value for key, value in row.items() if key != "query_multi"}]):
        printed = table(write(tmp_path / "judged.jsonl", rows))
        assert values(printed["Total"]) == ["6.00", "-", "-"]
        assert printed["Total"][-1] == "- (1 missing)"


def test_only_categories_with_rows_are_shown_logickor_s_in_its_order_and_others_as_they_come(tmp_path: Path) -> None:
    rows = [judged_row(1, 5, 6, category=name) for name in ("과학", "문법", "수학(Math)", "*가*", "")]
    numbered = [row | {"id": number} for number, row in enumerate(rows)]
    assert list(table(write(tmp_path / "judged.jsonl", numbered))) == ["수학", "문법", "과학", "\\*가\\*", "Total"]


def test_a_category_is_called_as_it_is(tmp_path: Path) -> None:
    names = ("STEM", "coding", "iOS")
    rows = [judged_row(number, 5, 6, category=name) for number, name in enumerate(names)]
    assert list(table(write(tmp_path / "judged.jsonl", rows))) == [*names, "Total"]


def test_a_file_of_questions_that_nobody_has_judged_is_one_line(tmp_path: Path) -> None:
    rows = [{"id": 1, "category": "a", "questions": ["하나?"]}, {"id": 2, "question": "둘?", "query_third": {}}]
    result = rabbit("score", str(file := write(tmp_path / "q.jsonl", rows)))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"error: {file}: no row in it is judged; `rabbit judge --bench {file}`")


def test_our_own_rows_say_how_many_there_should_be(tmp_path: Path) -> None:
    rows = [judged_row(number, 5, None, of=3) for number in (1, 2)]
    printed = table(write(tmp_path / "judged.jsonl", rows))
    assert printed["Total"][0] == "2 of 3"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["no", "object"], "Input should be an object"),
        (judged_row(1, 1, 1) | {"id": [1]}, "id: int: Input should be a valid integer"),
        (judged_row(1, 1, 1) | {"category": 3}, "category: Input should be a valid string"),
    ],
)
def test_what_is_no_judged_row_is_one_line(tmp_path: Path, row: Any, expected: str) -> None:
    file = write(tmp_path / "judged.jsonl", [judged_row(2, 1, 1), row])
    result = rabbit("score", str(file))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {file}:2: {expected}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "No such file or directory"), ("", "no row in it"), ("{", ":1: Invalid JSON")],
)
def test_a_file_without_rows_is_one_line(tmp_path: Path, content: str | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "judged.jsonl").write_text(content)
    result = rabbit("score", str(tmp_path / "judged.jsonl"))
    assert result.exit_code == 1
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1


def by_name(rows: list[Row]) -> dict[tuple[str, str], Score]:
    return {(score.task, score.metric): score for score in scores(rows, TURNS)}


def test_standard_errors_are_of_the_mean_over_questions() -> None:
    pairs = [(6.0, 4.0), (9.0, 8.0), (3.0, 5.5), (7.5, 7.5)]
    rows = [Row(str(number), "추론", pair) for number, pair in enumerate(pairs)]
    found = by_name(rows)
    for metric, items in (
        ("single", [single for single, _ in pairs]),
        ("multi", [multi for _, multi in pairs]),
        ("overall", [fmean(pair) for pair in pairs]),
    ):
        assert found["total", metric].value == pytest.approx(fmean(items))
        assert found["total", metric].stderr == pytest.approx(stdev(items) / len(items) ** 0.5)
    assert by_name(rows[:1])["total", "overall"].stderr is None


ROWS = st.lists(
    st.tuples(st.sampled_from(CATEGORIES), st.none() | SCORE, st.none() | SCORE), min_size=1, max_size=50
).map(lambda given: [Row(str(number), category, (one, other)) for number, (category, one, other) in enumerate(given)])


@given(ROWS, st.randoms())
def test_means_are_plain_whatever_is_missing_and_in_any_order(rows: list[Row], rng: random.Random) -> None:
    found = by_name(rows)
    for task in {row.category for row in rows} | {"total"}:
        group = [row for row in rows if task in ("total", row.category)]
        single, multi = ([row.scores[turn] for row in group] for turn in (0, 1))
        for metric, column in (("single", single), ("multi", multi)):
            there = [value for value in column if value is not None]
            assert found[task, metric].value == (sum(there) / len(there) if there else None)
            assert (found[task, metric].items, found[task, metric].missing) == (len(group), len(group) - len(there))
        means = [found[task, metric].value for metric in ("single", "multi")]
        known = [value for value in means if value is not None]
        assert found[task, "overall"].value == (sum(known) / 2 if len(known) == 2 else None)
        assert found[task, "overall"].missing == sum(None in row.scores for row in group)
    shuffled = rng.sample(rows, len(rows))
    for name, score in by_name(shuffled).items():
        assert score.value == pytest.approx(found[name].value)
        assert score.stderr == pytest.approx(found[name].stderr)


@given(st.lists(st.tuples(SCORE, SCORE), min_size=2, max_size=30))
def test_the_error_of_complete_columns_is_that_of_the_items_means(pairs: list[tuple[float, float]]) -> None:
    overall = by_name([Row(str(number), "", pair) for number, pair in enumerate(pairs)])["total", "overall"]
    assert overall.stderr == pytest.approx(stdev([fmean(pair) for pair in pairs]) / len(pairs) ** 0.5, abs=1e-9)


def test_intervals_are_near_those_of_the_normal_distribution_and_of_few_questions_there_is_none() -> None:
    rng = random.Random(1)
    rows = [Row(str(number), "", (rng.gauss(6, 1.5), rng.gauss(5, 1.5))) for number in range(200)]
    for score in scores(rows, TURNS):
        value, stderr = score.value or 0.0, score.stderr or 0.0
        assert (score.low, score.high) == pytest.approx((value - 1.96 * stderr, value + 1.96 * stderr), abs=0.03)
    assert {(score.low, score.high) for score in scores(rows[:5], TURNS)} == {(None, None)}


@given(ROWS)
def test_an_interval_holds_its_mean_and_stays_on_the_scale(rows: list[Row]) -> None:
    for score in scores(rows, TURNS):
        if score.low is not None and score.high is not None and score.value is not None:
            assert 0 <= score.low <= score.value + 1e-9
            assert score.value - 1e-9 <= score.high <= 10


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(5)
    held = 0
    for _ in range(100):
        rows = [Row(str(number), "", (rng.gauss(6, 2),)) for number in range(40)]
        [score] = scores(rows, ["turn 1"])
        held += (score.low or 10) <= 6 <= (score.high or 0)
    assert 87 <= held <= 99


@pytest.mark.parametrize("n", [7, 10])
def test_an_interval_of_few_questions_covers_the_truth_as_often_as_it_says(n: int) -> None:
    rng, held = random.Random(11), 0
    for _ in range(150):
        found = scores([Row(str(at), "", (float(rng.randint(3, 9)),)) for at in range(n)], ["single"])[-1]
        held += (found.low or 9) <= 6 <= (found.high or 0)
    assert held >= 0.9 * 150


@pytest.mark.parametrize("value", [0.0, 7.0, 10.0])
def test_the_same_score_of_all_questions_has_an_interval_with_a_width(value: float) -> None:
    for turns in (["single"], ["single", "multi"]):
        for found in scores([Row(str(at), "", (value,) * len(turns)) for at in range(7)], turns):
            assert found.low is not None
            assert found.high is not None
            assert 0 <= found.low <= value <= found.high <= 10
            assert found.high - found.low > 2


def test_a_turn_counts_by_the_questions_that_have_it() -> None:
    rows = [Row("1", "a", (4.0, 8.0, 10.0)), Row("2", "a", (6.0,)), Row("3", "b", (8.0, None))]
    found = {(score.task, score.metric): score for score in scores(rows, turn_names(rows))}
    assert [found["total", f"turn {turn}"].value for turn in (1, 2, 3)] == [6.0, 8.0, 10.0]
    assert [found["total", f"turn {turn}"].items for turn in (1, 2, 3)] == [3, 2, 1]
    assert [found["total", f"turn {turn}"].missing for turn in (1, 2, 3)] == [0, 1, 0]
    assert found["total", "overall"].value == pytest.approx((3 * 6.0 + 2 * 8.0 + 1 * 10.0) / 6)
    assert (found["b", "turn 2"].value, found["b", "turn 3"].items) == (None, 0)


def test_a_bench_of_one_turn_has_one_figure() -> None:
    rows = [Row(str(number), "", (float(number),)) for number in range(1, 9)]
    [score] = scores(rows, turn_names(rows))
    assert (score.task, score.metric, score.value) == ("total", "overall", 4.5)
    assert render([score]).splitlines()[-1].startswith("| Total    | 8         | 4.50 (")


def test_rows_of_any_number_of_turns_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "category": "a", "query_turn 1": {"judge_score": 4}, "query_turn 2": {"judge_score": 8}, "of": 2},
        {"id": 2, "category": "b", "query_turn 1": {"judge_score": None}, "of": 2},
    ]
    read, turns, of = read_judged(write(tmp_path / "judged.jsonl", rows))
    assert (turns, of) == (["turn 1", "turn 2"], 2)
    assert read == [Row("1", "a", (4, 8)), Row("2", "b", (None,))]


@given(ROWS)
def test_samples_add_up_to_the_figures_and_hold_nothing_that_is_missing(rows: list[Row]) -> None:
    kept = samples(rows, TURNS)
    found = by_name(rows)
    for metric in ("single", "multi", "overall"):
        own = [sample.value for sample in kept if sample.metric == metric]
        assert len(own) == found["total", metric].items - found["total", metric].missing
        if own and not (metric == "overall" and found["total", metric].missing):
            assert fmean(own) == pytest.approx(found["total", metric].value)
