"""Every row that is read is kept, or dropped with a reason: for a corpus of malformed rows, in each format."""

import csv
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build
from dataset_builders.manifest import SourceSummary
from dataset_builders.recipe import load_config
from dataset_builders.verify import verify
from tests.dataset_builders.files import OFF, read_rows, write_config

GOOD = {"instruction": "질문", "output": "답"}
VALUES: list[Any] = [
    None,
    "",
    " \n\u3000",
    0,
    3.5,
    math.nan,
    math.inf,
    True,
    [],
    ["가"],
    {},
    {"a": 1},
    "\ud83d",
    "\x00",
]
LINES = [
    b"{",
    b"}",
    b"null",
    b"[]",
    b'"text"',
    b"17",
    b"{'instruction': 'x'}",
    b'{"instruction": "a", "output": "b"} {"instruction": "c", "output": "d"}',
    b'{"instruction": "a" "output": "b"}',
    b'{"instruction": "\xff\xfe", "output": "b"}',
    b'{"instruction": "\xed\xa0\x80", "output": "b"}',
    b'{"instruction": "a", "output": "b\x01"}',
    b'{"instruction": "a", "output": "' + b"[" * 20_000,
    b"[" * 20_000,
    b'{"instruction": "a", "output": "b", }',
    b"\x00\x00\x00",
    "{“instruction”: “가”}".encode(),
    b'{"instruction": {"text": "a"}, "output": [{"text": "b"}]}',
    b'{"Instruction": "a", "Output": "b"}',
    b'{"output": "b"}',
    b'{"instruction": "a"}',
]


def malformed_lines() -> list[bytes]:
    """More than a hundred lines that are no good row for one reason or another, and two that are."""
    lines = [json.dumps(GOOD, ensure_ascii=False).encode(), *LINES]
    for value in VALUES:
        for field in GOOD:
            lines.append(json.dumps({**GOOD, field: value}).encode())
            lines.append(json.dumps({**GOOD, field: value, "extra": value}).encode())
    texts = ["끝<|eot_id|>", "### Response:\n네", "\ufffd", "\x1b[0m", "</s>", "<|im_end|>", "[INST] 가 [/INST]"]
    for text in texts:
        lines += [json.dumps({**GOOD, field: f"{text}{number}"}).encode() for field in GOOD for number in range(3)]
    return [*lines, '{"instruction": "둘째", "output": "나"}'.encode()]


def build_file(path: Path, source: str) -> SourceSummary:
    """Build one file of rows, most of which may be broken, with no gate on."""
    entry = {"source": source, "path": str(path), "max_rejected": 1.0}
    config = write_config(path.with_name("data.yaml"), entry, quality=OFF)
    [summary] = build(load_config(config), path.with_name("data")).sources
    return summary


def test_a_hundred_malformed_rows_are_each_accounted_for(tmp_path: Path) -> None:
    lines = malformed_lines()
    assert len(lines) > 100
    (tmp_path / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines) + b"\n\n  \n")
    report = build_file(tmp_path / "rows.jsonl", "koalpaca")
    assert (report.read, report.kept) == (len(lines), 2)
    assert report.read == report.kept + sum(report.rejected.values())
    dropped = read_rows(tmp_path / "data", "rejected")
    assert Counter(row["reason"] for row in dropped) == report.rejected
    assert len(report.rejected) > 15
    assert all(row["id"] and row["source"] == "koalpaca" and row["row"] for row in dropped)
    assert verify(str(tmp_path / "data")).sources == [report]


@pytest.mark.parametrize(
    ("source", "good", "bad"),
    [
        (
            "guanaco_ko",
            {"text": "### Human: 가### Assistant: 나", "id": "1"},
            [{"text": "가", "id": "2"}, {"text": 5, "id": "3"}],
        ),
        (
            "sharegpt",
            {"conversations": [{"from": "human", "value": "가"}, {"from": "gpt", "value": "나"}]},
            [
                {"conversations": [{"from": "robot", "value": "가"}]},
                {"conversations": "가"},
                {"conversations": None},
                {"conversations": [{"value": "가"}]},
                {"conversations": [["human", "가"]]},
            ],
        ),
        (
            "hh_rlhf_ko",
            {
                "context": [],
                "instruction": {"from": "human", "value": "가"},
                "chosen": {"from": "gpt", "value": "나"},
                "rejected": {"from": "gpt", "value": "다"},
            },
            [{"context": [], "instruction": None, "chosen": {}, "rejected": "다"}, {"context": {}}],
        ),
        (
            "preference",
            {"prompt": "가", "chosen": "나", "rejected": "다"},
            [
                {"prompt": "가", "chosen": "나", "rejected": "나"},
                {"prompt": [], "chosen": "나", "rejected": "다"},
                {"prompt": "가", "chosen": [], "rejected": "다"},
                {"prompt": 5, "chosen": 6, "rejected": 7},
            ],
        ),
        (
            "orca_math_ko_dpo",
            {"system": "", "question": "가", "chosen": "나", "rejected": "다"},
            [
                {"system": "", "question": "", "chosen": "나", "rejected": "다"},
                {"system": 1, "question": 2, "chosen": 3, "rejected": 4},
            ],
        ),
    ],
)
def test_rows_of_every_kind_of_source_are_accounted_for(
    tmp_path: Path, source: str, good: Any, bad: list[Any]
) -> None:
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in [good, *bad])
    (tmp_path / "rows.jsonl").write_text(text)
    report = build_file(tmp_path / "rows.jsonl", source)
    assert (report.read, report.kept, sum(report.rejected.values())) == (1 + len(bad), 1, len(bad))


def test_csv_rows_with_other_numbers_of_fields_are_accounted_for(tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["instruction", "output"], ["가", "나"], ["다"], ["라", "마", "바"], [], ["사", ""]]
        )
    report = build_file(tmp_path / "rows.csv", "alpaca")
    assert (report.read, report.kept) == (4, 1)
    assert report.rejected == {"empty turn": 1, "not as many fields as the header has": 2}


def test_csv_line_breaks_between_quotes_part_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["instruct\nion", "output"], *([f"질문\n{number}", f'"답",\n{number}'] for number in range(40))]
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_BYTES", 100)
    entry = {"source": "alpaca", "path": str(tmp_path / "rows.csv"), "columns": {"instruction": "instruct\nion"}}
    config = load_config(write_config(tmp_path / "data.yaml", entry, quality=OFF, test_size=0.0))
    [report] = build(config, tmp_path / "data").sources
    assert (report.read, report.kept) == (40, 40)
    answers = {row["messages"][1]["content"] for row in read_rows(tmp_path / "data", "sft")}
    assert answers == {answer for _, answer in rows[1:]}


def test_a_file_of_malformed_rows_beside_a_good_one_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/a.jsonl").write_text(json.dumps(GOOD))
    (tmp_path / "rows/b.jsonl").write_text('{"instruction": "가"}')
    (tmp_path / "rows/.hidden").mkdir()
    (tmp_path / "rows/.hidden/c.jsonl").write_text(json.dumps(GOOD))
    config = load_config(write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": str(tmp_path / "rows")}))
    [report] = build(config, tmp_path / "data").sources
    assert (report.read, report.kept, report.rejected) == (2, 1, {"no field `output`": 1})
