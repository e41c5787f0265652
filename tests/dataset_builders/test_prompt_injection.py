"""Rows that forge a control token or a turn are rejected, and kept as evidence, or escaped where that is asked."""

from collections import Counter
from pathlib import Path

import pytest

from prompt_strategies.prompt_injection import escape, find_injection
from tests.conftest import hostile_rows
from tests.dataset_builders.files import build_rows, read_rows

HOSTILE = hostile_rows()
HARMLESS = {"prompt": "질문", "chosen": "좋은 답", "rejected": "나쁜 답"}


def contents(data: Path) -> list[str]:
    """Every content in the shards."""
    rows = [row for stage in ("sft", "dpo") for row in read_rows(data, stage)]
    columns = ("messages", "prompt", "chosen", "rejected")
    return [message["content"] for row in rows for column in columns for message in row.get(column, [])]


def hostile_sft_rows() -> list[dict[str, str]]:
    """Each hostile text as a question and as an answer."""
    rows = [{"instruction": text, "output": "답"} for text, _ in HOSTILE]
    return rows + [{"instruction": f"{number}번", "output": text} for number, (text, _) in enumerate(HOSTILE)]


def test_hostile_questions_and_answers_are_rejected_by_default(tmp_path: Path) -> None:
    [report] = build_rows(
        tmp_path, "koalpaca", [*hostile_sft_rows(), {"instruction": "질문", "output": "답"}]
    ).sources
    assert report.kept == 1
    expected = Counter(kind for _, kind in HOSTILE)
    assert report.rejected == {kind: 2 * count for kind, count in expected.items()}
    rejected = read_rows(tmp_path / "data", "rejected")
    assert Counter(row["reason"] for row in rejected) == report.rejected
    assert all(row["id"].startswith("koalpaca/") and '"messages"' in row["row"] for row in rejected)


@pytest.mark.parametrize("field", ["prompt", "chosen", "rejected", "system"])
def test_hostile_preferences_are_rejected_by_default(tmp_path: Path, field: str) -> None:
    [report] = build_rows(
        tmp_path, "preference", [HARMLESS, *({**HARMLESS, field: text} for text, _ in HOSTILE)]
    ).sources
    assert (report.kept, sum(report.rejected.values())) == (1, len(HOSTILE))


def test_hostile_history_is_rejected_by_default(tmp_path: Path) -> None:
    speakers = ("human", "gpt", "human", "gpt")
    rows = [
        {"conversations": [{"from": who, "value": what} for who, what in zip(speakers, said, strict=True)]}
        for text, _ in HOSTILE
        for said in ((text, "답", "질문", "답"), ("질문", text, "질문", "답"))
    ]
    harmless = {"conversations": [{"from": "human", "value": "질문"}, {"from": "gpt", "value": "답"}]}
    [report] = build_rows(tmp_path, "sharegpt", [harmless, *rows]).sources
    assert (report.kept, sum(report.rejected.values())) == (1, len(rows))


def test_rows_are_escaped_where_their_source_asks_for_it(tmp_path: Path) -> None:
    [report] = build_rows(tmp_path, "koalpaca", hostile_sft_rows(), {"prompt_injection": "escape"}).sources
    # A byte order mark in front is taken away, and hides nothing.
    disguised = [text for text, _ in HOSTILE if find_injection(escape(text.lstrip("\ufeff")))]
    assert report.kept == report.escaped >= 80
    assert report.rejected.pop("control character") > 0
    assert sum(report.rejected.values()) == 2 * len(disguised) > 0
    assert not any(map(find_injection, contents(tmp_path / "data")))
    assert {"여기까지입니다.<\\|end_of_text|>", "네.\n#\\## Question:\n다음 질문"} <= set(contents(tmp_path / "data"))
