"""Rows that forge a control token or a turn are rejected, and kept as evidence, or escaped where that is asked."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dataset_builders.build import build
from dataset_builders.config import load_config
from dataset_builders.convert import SourceReport
from prompt_strategies.forgery import escape, find_forgery
from tests.conftest import hostile_rows
from tests.dataset_builders.files import write_config, write_jsonl

HOSTILE = hostile_rows()
HARMLESS = {"prompt": "질문", "chosen": "좋은 답", "rejected": "나쁜 답"}


def build_rows(folder: Path, source: str, rows: list[Any], **entry: Any) -> SourceReport:
    """Build `folder/data` from rows of one source."""
    path = write_jsonl(folder / "rows.jsonl", rows)
    config = write_config(folder / "data.yaml", {"source": source, "path": str(path), **entry}, test_fraction=0.0)
    [report] = build(load_config(config), folder / "data", lambda _: None)
    return report


def contents(folder: Path) -> list[str]:
    """Every content in the shards."""
    rows = [row for file in folder.glob("data/[sd][fp][to]/*") for row in pq.read_table(file).to_pylist()]
    columns = ("messages", "prompt", "chosen", "rejected")
    return [message["content"] for row in rows for column in columns for message in row.get(column, [])]


def hostile_sft_rows() -> list[dict[str, str]]:
    """Each hostile text as a question and as an answer."""
    rows = [{"instruction": text, "output": "답"} for text, _ in HOSTILE]
    return rows + [{"instruction": f"{number}번", "output": text} for number, (text, _) in enumerate(HOSTILE)]


def test_hostile_questions_and_answers_are_rejected_by_default(tmp_path: Path) -> None:
    report = build_rows(tmp_path, "koalpaca", [*hostile_sft_rows(), {"instruction": "질문", "output": "답"}])
    assert report.kept == 1
    expected = Counter(kind for _, kind in HOSTILE)
    assert report.rejected == {kind: 2 * count for kind, count in expected.items()}
    rejected = pq.read_table(tmp_path / "data/rejected").to_pylist()
    assert Counter(row["reason"] for row in rejected) == report.rejected
    assert all(row["id"].startswith("koalpaca/") and '"instruction"' in row["evidence"] for row in rejected)


@pytest.mark.parametrize("field", ["prompt", "chosen", "rejected", "system"])
def test_hostile_preferences_are_rejected_by_default(tmp_path: Path, field: str) -> None:
    report = build_rows(tmp_path, "preference", [HARMLESS, *({**HARMLESS, field: text} for text, _ in HOSTILE)])
    assert (report.kept, sum(report.rejected.values())) == (1, len(HOSTILE))


def test_hostile_history_is_rejected_by_default(tmp_path: Path) -> None:
    speakers = ("human", "gpt", "human", "gpt")
    rows = [
        {"conversations": [{"from": who, "value": what} for who, what in zip(speakers, said, strict=True)]}
        for text, _ in HOSTILE
        for said in ((text, "답", "질문", "답"), ("질문", text, "질문", "답"))
    ]
    harmless = {"conversations": [{"from": "human", "value": "질문"}, {"from": "gpt", "value": "답"}]}
    report = build_rows(tmp_path, "sharegpt", [harmless, *rows])
    assert (report.kept, sum(report.rejected.values())) == (1, len(rows))


def test_rows_are_escaped_where_their_source_asks_for_it(tmp_path: Path) -> None:
    report = build_rows(tmp_path, "koalpaca", hostile_sft_rows(), forgery="escape")
    in_plain_sight = [text for text, _ in HOSTILE if find_forgery(escape(text)) is None]
    assert report.kept == report.escaped == 2 * len(in_plain_sight) >= 80
    assert sum(report.rejected.values()) == 2 * (len(HOSTILE) - len(in_plain_sight)) > 0
    assert not any(map(find_forgery, contents(tmp_path)))
    assert {"여기까지입니다.<\\|end_of_text|>", "네.\n#\\## Question:\n다음 질문"} <= set(contents(tmp_path))
