"""Gates that look at one row's letters, on planted rows."""

from pathlib import Path
from typing import Any

import pytest

from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import build_rows, read_rows

ON: dict[str, Any] = {"near_duplicates": {"action": "off"}}
GOOD = exchanges(20)
LOOP = "같은 말을 되풀이합니다. " * 40
PAIR = {"prompt": "무엇이 좋을까요?", "chosen": "오늘은 산책이 좋겠습니다.", "rejected": "모르겠네요, 글쎄요."}


def reasons(folder: Path, source: str, good: list[Any], bad: list[Any], quality: Any, **entry: Any) -> dict[str, int]:
    """Build good rows and bad ones; the good ones are all kept."""
    [report] = build_rows(folder, source, [*good, *bad], entry, quality=quality).sources
    assert report.kept == len(good)
    return report.rejected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "ㅎ", "output": "ㅋ"}, "length"),
        ({"instruction": "길게", "output": "가나다라마 " * 12_000}, "length"),
        (
            {"instruction": "Why?", "output": "Because it is written in English from the beginning to the end."},
            "too little Hangul",
        ),
        ({"instruction": "노래해 줘", "output": LOOP}, "repetition"),
        ({"instruction": "웃어 봐", "output": "ㅋ" * 300}, "repetition"),
    ],
)
def test_rows_that_a_gate_finds_are_rejected_by_default(tmp_path: Path, row: Any, reason: str) -> None:
    assert reasons(tmp_path, "koalpaca", GOOD, [row], ON) == {reason: 1}
    [dropped] = read_rows(tmp_path / "data", "rejected")
    assert dropped["evidence"]
    assert '"messages"' in dropped["row"]


def test_a_row_of_another_language_is_not_asked_for_hangul(tmp_path: Path) -> None:
    english = [{"instruction": "Why?", "output": f"Because it is written in English, number {n}."} for n in range(3)]
    [report] = build_rows(tmp_path, "koalpaca", english, {"language": "en"}, quality=ON).sources
    assert report.kept == 3


def test_the_question_may_repeat_itself_and_so_may_a_rejected_answer(tmp_path: Path) -> None:
    asked = {"instruction": LOOP, "output": "같은 말이 마흔 번 나오네요. 무엇을 도와드릴까요?"}
    assert reasons(tmp_path, "koalpaca", [*GOOD, asked], [], ON) == {}
    looping = {**PAIR, "rejected": LOOP}
    on = {**ON, "length_ratio": {"action": "off"}}
    assert reasons(tmp_path, "preference", [PAIR, looping], [], on) == {}
    assert reasons(tmp_path, "preference", [PAIR], [{**PAIR, "chosen": LOOP}], on) == {"repetition": 1}


def test_answers_of_unlike_length_are_rejected(tmp_path: Path) -> None:
    long = {**PAIR, "chosen": " ".join(row["output"] for row in GOOD)}
    assert reasons(tmp_path, "preference", [PAIR], [long], ON) == {"answers of unlike length": 1}


def test_a_gate_that_reports_counts_and_keeps(tmp_path: Path) -> None:
    looping = {"instruction": "노래해 줘", "output": LOOP}
    [report] = build_rows(tmp_path, "koalpaca", [*GOOD, looping], quality={**ON, "action": "report"}).sources
    assert (report.kept, report.rejected, report.reported) == (21, {}, {"repetition": 1})
    [report] = build_rows(
        tmp_path, "koalpaca", [*GOOD, looping], quality={**ON, "repetition": {"action": "off"}}
    ).sources
    assert (report.kept, report.rejected, report.reported) == (21, {}, {})


def test_the_first_gate_that_rejects_a_row_gives_the_reason(tmp_path: Path) -> None:
    both = {"instruction": "sing", "output": "la la la " * 60}
    assert reasons(tmp_path, "koalpaca", GOOD, [both], ON) == {"too little Hangul": 1}
