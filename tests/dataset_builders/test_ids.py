"""Ids: what becomes of upstream's, and that rows which share one are told apart by what they say, in any order."""

import datetime
import random
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build
from dataset_builders.ids import printable_id
from dataset_builders.read import inputs
from dataset_builders.recipe import load_config
from dataset_builders.rows import row_id
from dataset_builders.sources import SOURCES
from dataset_builders.sources._source import Source, exchange
from dataset_builders.verify import diff, verify
from tests.dataset_builders.files import OFF, build_rows, file_contents, read_rows, write_config, write_jsonl


@pytest.mark.parametrize(
    ("upstream", "name"),
    [
        (3, "3"),
        (0, "0"),
        (-7, "-7"),
        (2**64, "18446744073709551616"),
        (10**40, "1" + "0" * 40),
        (3.0, "3"),
        (3.5, "3.5"),
        (1e300, "1e+300"),
        (" a.1 \n", "a.1"),
        ("\u1100\u1161", "가"),
        ("가 나", "가 나"),
        (Decimal("1.50"), "1.50"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        *((unfit, "") for unfit in (None, "", " ", float("nan"), float("inf"), True, False, [1], {"a": 1}, b"a")),
        *((unfit, "") for unfit in ("a\nb", "a\x00", "\x1b[0m", "\u200b", "\ud83d", "a\u2028b")),
    ],
)
def test_ids_of_upstream_are_printable_or_of_no_use(upstream: Any, name: str) -> None:
    assert printable_id(upstream) == name
    assert row_id("s", ["가"], upstream) == (f"s/{name}" if name else row_id("s", ["가"]))


def same_id(count: int) -> list[dict[str, Any]]:
    """Rows that all have the id `identity`, as some ShareGPT files have."""
    turns = ({"from": "human", "value": "질문"}, {"from": "gpt", "value": "답변"})
    return [
        {"id": "identity", "conversations": [{**turn, "value": f"{turn['value']} {number}"} for turn in turns]}
        for number in range(count)
    ]


def test_rows_with_one_id_are_all_kept_and_drawn_apart(tmp_path: Path) -> None:
    [report] = build_rows(tmp_path, "sharegpt", same_id(2_000), test_size=0.1).sources
    assert (report.kept, report.rejected) == (2_000, {})
    assert 140 < report.splits["test"] < 260
    rows = read_rows(tmp_path / "data", "sft")
    assert len({row["id"] for row in rows}) == 2_000
    assert all(row["id"].startswith("sharegpt/identity-") for row in rows)
    verify(str(tmp_path / "data"))


def test_fractions_samples_and_system_prompts_are_drawn_apart_too(tmp_path: Path) -> None:
    entry = {"fraction": 0.3, "add_system_prompt": True, "probability": 0.5, "max_samples": 200}
    [report] = build_rows(tmp_path, "sharegpt", same_id(1_000), entry).sources
    assert report.kept == 200
    assert 620 < report.rejected["not sampled"] < 780
    assert 60 < report.with_system_prompt < 140


def test_a_row_that_is_alone_keeps_its_id_and_copies_are_duplicates(tmp_path: Path) -> None:
    rows = [{"id": key, "instruction": "가", "output": answer} for key, answer in ((1, "나"), (1, "나"), (2, "나"))]
    rows += [{"id": "2", "instruction": "가", "output": "다"}, {"id": 2.0, "instruction": "가", "output": "다"}]
    [report] = build_rows(tmp_path, "alpaca", rows).sources
    assert (report.kept, report.rejected) == (3, {"duplicate id": 2})
    names = sorted(row["id"] for row in read_rows(tmp_path / "data", "sft"))
    assert names[0] == "alpaca/1"
    assert [name.rpartition("-")[0] for name in names[1:]] == ["alpaca/2", "alpaca/2"]


def test_ids_and_contents_compare_after_composition(tmp_path: Path) -> None:
    composed, decomposed = "가", "\u1100\u1161"
    rows = [
        {"id": key, "instruction": text, "output": "답"} for key in (composed, decomposed) for text in (key, "나")
    ]
    [report] = build_rows(tmp_path, "alpaca", rows).sources
    assert (report.kept, report.rejected) == (2, {"duplicate id": 2})


def test_an_id_is_told_apart_from_that_of_a_rejected_row(tmp_path: Path) -> None:
    rows = [{"id": 1, "instruction": "질문", "output": answer} for answer in ("답", "English " * 9)]
    [report] = build_rows(tmp_path, "alpaca", rows, quality={"action": "off", "hangul": {"action": "reject"}}).sources
    assert (report.kept, sum(report.rejected.values())) == (1, 1)
    assert {
        row["id"].rpartition("-")[0] for part in ("sft", "rejected") for row in read_rows(tmp_path / "data", part)
    } == {"alpaca/1"}


def test_ids_that_begin_anew_in_each_file_are_told_apart_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": number % 50, "instruction": f"{number} 질문", "output": "답"} for number in range(150)]
    rows += [{"id": f"only-{number}", "instruction": f"{number} 물음", "output": "답"} for number in range(50)]
    made = []
    for name, files, size in (("a", 1, 8 << 20), ("b", 3, 8 << 20), ("c", 2, 500)):
        monkeypatch.setattr(inputs, "CHUNK_BYTES", size)
        for number in range(files):
            write_jsonl(tmp_path / name / "in" / f"{number}.jsonl", rows[number::files])
        random.Random(name).shuffle(rows)
        entry = {"source": "alpaca", "path": str(tmp_path / name / "in"), "fraction": 0.5}
        config = write_config(tmp_path / name / "data.yaml", entry, quality=OFF, test_size=0.1)
        build(load_config(config), tmp_path / name / "data")
        contents = file_contents(tmp_path / name / "data")
        made.append({file: content for file, content in contents.items() if file != "manifest.json"})
    assert made[0] == made[1] == made[2]
    assert diff(str(tmp_path / "a/data"), str(tmp_path / "b/data")) == {}
    names = {row["id"] for row in read_rows(tmp_path / "a/data", "sft")}
    assert any(name.startswith("alpaca/only-") and name.count("-") == 1 for name in names)


def test_only_chunks_that_share_ids_are_made_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 500)  # so that no two files share one
    for number, key in enumerate((1, 1, 2)):
        write_jsonl(tmp_path / f"in/{number}.jsonl", [{"id": key, "instruction": f"{number} 질문", "output": "답"}])
    config = write_config(tmp_path / "data.yaml", {"source": "alpaca", "path": str(tmp_path / "in")}, quality=OFF)
    steps: list[tuple[str, int]] = []
    build(load_config(config), tmp_path / "data", lambda what, _, total: steps.append((what, total)))
    assert ("chunks", 3) in steps
    assert ("chunks with repeated ids", 2) in steps


def test_ids_under_another_name_are_told_apart_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = exchange("question", ("answer",), key="custom_id")
    source = Source(rows="sft", required=("question", "answer"), optional=("custom_id",), convert=rule)
    monkeypatch.setitem(SOURCES, "quiz", source)
    rows = [{"custom_id": 1, "question": f"{number} 질문", "answer": "답"} for number in range(5)]
    [report] = build_rows(tmp_path, "quiz", rows).sources
    assert (report.kept, report.rejected) == (5, {})
