"""Rows and files that mean harm cost a build seconds at most, and are counted like any others."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build
from dataset_builders.manifest import SourceSummary
from dataset_builders.recipe import load_config
from rabbit_ko.errors import UserError
from tests.dataset_builders.files import write_config, write_jsonl
from tests.dataset_builders.read.reading import read_bytes
from tests.soon import soon

pytestmark = pytest.mark.hostile
SIZE = 400_000
GOOD = {"instruction": "가장 높은 산은 무엇인가요?", "output": "한라산이 남한에서 가장 높습니다."}
GOOD_TURNS = {"messages": [{"role": "user", "content": "질문"}, {"role": "assistant", "content": "답입니다."}]}
# What patterns, gates and normal forms are made to look at again and again.
PUMPS = [
    *(" ", "\n", "\u2028", "#", "<|", "[", "{", '"', "\\", '\\"', "```python\n", "1 + ", "x = ", "if a", "a.", "'a'"),
    *("수 없", "죄송 ", "I am ", "제 지식 ", "\u0301\u0316", "\u1100\u1161", "\n### Human: a"),
    *("\n\nHuman: a", "\n|", "<a "),
]
# Texts that look like JSON or Python of turns.
NESTED = [
    *("[" * 900 + '{"role": "user"}' + "]" * 900, "[" * 100_000, '{"role":' * 50_000, "[{'role': " + "(" * 5_000),
    *("[{'role': " + text + "}]" for text in ("-" * 100_000 + "1", "x" + ".x" * 20_000, "x" + "()" * 20_000)),
    *("[{'role': " + text + "}]" for text in ("lambda:" * 20_000 + "1", "9" * 9_000, "'a' " * 50_000)),
]


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    with soon(30):
        yield


def _built(folder: Path, rows: list[Any], source: str = "alpaca") -> SourceSummary:
    path = write_jsonl(folder / "rows.jsonl", rows)
    entry = {"source": source, "path": str(path), "max_rejected": 1.0}
    quality = {"subjects": {"drop": ["math", "code"]}, "action": "report"}
    config = load_config(write_config(folder / "data.yaml", entry, quality=quality))
    [summary] = build(config, folder / "out").sources
    assert summary.read == len(rows) == summary.kept + sum(summary.rejected.values())
    return summary


def test_texts_of_hundreds_of_kilobytes_are_read_in_linear_time(tmp_path: Path) -> None:
    texts = [f"질문 {pump * (SIZE // len(pump))}x" for pump in PUMPS]
    _built(tmp_path, [{"instruction": text[:20] + str(number), "output": text} for number, text in enumerate(texts)])


def test_texts_that_look_like_nested_turns_are_rejected_one_by_one(tmp_path: Path) -> None:
    assert _built(tmp_path, [GOOD_TURNS, *({"messages": text} for text in NESTED)], "messages").kept == 1


def test_a_long_text_that_looks_like_python_is_rejected_soon(tmp_path: Path) -> None:
    text = "[{'role': 'user', 'content': [" + "0," * 1_500_000 + "]}]"
    with soon(3):
        summary = _built(tmp_path, [GOOD_TURNS, {"messages": text}], "messages")
    assert summary.rejected == {"`messages` looks like a list of turns, but cannot be read": 1}


@pytest.mark.parametrize("depth", [900, 200_000])
def test_a_row_that_is_nested_deep_is_rejected(tmp_path: Path, depth: int) -> None:
    nested = '{"instruction": "가", "output": %s}' % ("[" * depth + "]" * depth)
    for name, content in (
        ("a.jsonl", f"{json.dumps(GOOD)}\n{nested}\n"),
        ("b.json", f"[{json.dumps(GOOD)}, {nested}]"),
    ):
        assert read_bytes(tmp_path, name, content.encode())[0] == [GOOD, "nested more than 100 deep"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '[{"instruction": "' + '\\"' * SIZE),
        ("a.json", '{"a":\n "' + '\\"' * 600_000),
        ("a.json", "[" * SIZE),
        ("a.csv", 'instruction,"output\n' + "가나다,라마바\n" * 80_000),
        ("a.csv", '"' + '""' * SIZE),
        ("a.csv", 'a,b,"' + "\n" * SIZE),
        ("a.csv", ",".join(["c"] * 200_000) + "\n"),
    ],
)
def test_what_never_closes_or_repeats_is_one_line(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(UserError, match=r"never closes|two columns are called `c`"):
        read_bytes(tmp_path, name, content.encode())


def test_a_header_of_a_hundred_thousand_columns_is_read(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(100_000)]
    assert len(read_bytes(tmp_path, "a.csv", ",".join(names).encode() + b"\n" + b"," * 99_999)[0]) == 1


def test_pipes_sockets_and_devices_in_a_folder_are_named_and_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    write_jsonl(folder / "good.jsonl", [GOOD])
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "device.jsonl").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.jsonl"))
    config = load_config(write_config(tmp_path / "data.yaml", {"source": "alpaca", "path": str(folder)}))
    [summary] = build(config, tmp_path / "out").sources
    assert summary.notes == ["not read: device.jsonl, pipe.jsonl, socket.jsonl"]
    for name in ("pipe.jsonl", "device.jsonl", "socket.jsonl"):
        alone = load_config(write_config(tmp_path / "one.yaml", {"source": "alpaca", "path": str(folder / name)}))
        with pytest.raises(UserError, match="no regular file, but a pipe, a socket or a device"):
            build(alone, tmp_path / "alone")
