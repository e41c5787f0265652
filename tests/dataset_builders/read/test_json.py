"""JSON in every layout: each row is there, or it is said why it is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.read.content import HEAD_BYTES
from dataset_builders.read.json_lines import MAX_DEPTH
from rabbit_ko.errors import UserError
from tests.dataset_builders.read.reading import read_bytes
from tests.soon import soon

ROWS: list[Any] = [{"instruction": f"질문 {n}", "output": '줄\n둘 "인용" {[]} \\'} for n in range(3)]
TURNS = [{"role": "user", "content": "가"}, {"role": "assistant", "content": "나"}]


def dump(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **options)


LINES = "\n".join(map(dump, ROWS))
LAYOUTS = {
    "lines": LINES,
    "lines and blank ones": "\n\n" + LINES.replace("\n", "\n \r\n\n") + "\n\n",
    "lines of Windows": LINES.replace("\n", "\r\n"),
    "lines of an old Mac": LINES.replace("\n", "\r"),
    "a list": dump(ROWS),
    "an indented list": dump(ROWS, indent=2),
    "a list with tabs": dump(ROWS, indent="\t"),
    "a list, one object a line": "[\n" + ",\n".join(map(dump, ROWS)) + "\n]\n",
    "a list, commas first": "[" + "\n,".join(map(dump, ROWS)) + "]",
    "indented objects": "\n".join(dump(row, indent=4) for row in ROWS),
    "indented objects after one in a line": "\n".join([dump(ROWS[0]), *(dump(row, indent=4) for row in ROWS[1:])]),
    "indented objects with commas": ",\n".join(dump(row, indent=4) for row in ROWS),
    "objects in one line": "".join(map(dump, ROWS)),
    "lines that end in commas": LINES.replace("\n", ",\n") + ",",
    "a list under a key": dump({"data": ROWS}),
    "an indented list under a key": dump({"train": ROWS}, indent=2),
    "a list under a key beside others": dump({"version": "1.0", "count": 3, "data": ROWS, "license": None}),
    "a list in lines of an old Mac": dump(ROWS, indent=1).replace("\n", "\r"),
}


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.ndjson"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "with a mark"])
def test_rows_are_the_same_in_every_layout(tmp_path: Path, name: str, layout: str, mark: bytes) -> None:
    rows, notes = read_bytes(tmp_path, name, mark + LAYOUTS[layout].encode())
    assert rows == ROWS
    is_natural = (layout in ("a list", *list(LAYOUTS)[5:9], list(LAYOUTS)[-1])) == (name == "rows.json")
    if not mark and layout.startswith(("a list,", "indented objects", "an indented list under")):
        assert bool(notes) != (is_natural and "list," in layout)


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("a.json", LINES, "a.json: read as JSON lines"),
        ("a.jsonl", dump(ROWS), "a.jsonl: read as one JSON list"),
        ("a.jsonl", dump(ROWS[0], indent=1) * 2, "a.jsonl: read as JSON objects over several lines"),
        ("a.json", dump({"data": ROWS}), "a.json: rows are under `data`"),
        ("a.json", dump({"\u202edata": ROWS}), "a.json: rows are under `\\u202edata`"),
        ("a.json", "[" + ",".join(map(dump, ROWS)), "a.json: its list is not closed, so its end may be missing"),
    ],
)
def test_an_unusual_layout_is_said(tmp_path: Path, name: str, content: str, note: str) -> None:
    assert read_bytes(tmp_path, name, content.encode())[1] == [note]


@pytest.mark.parametrize(
    "row", [{"messages": TURNS}, {"conversations": [{"from": "human", "value": "가"}]}, {"text": "가"}]
)
@pytest.mark.parametrize("indent", [None, 2])
def test_one_row_is_a_row_though_it_holds_a_list(tmp_path: Path, row: Any, indent: int | None) -> None:
    assert read_bytes(tmp_path, "a.json", dump(row, indent=indent).encode())[0] == [row]


SIDE = [{"instruction": "곁가지 질문", "output": "곁가지 답"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "row",
    [
        {"id": 7, "related": SIDE, "instruction": "진짜 질문", "output": "진짜 답"},
        {"related": SIDE, "instruction": "진짜 질문", "output": "진짜 답"},
        {"related": SIDE, "id": 7},
        {"id": 99, "refs": [{"t": 1}], "질문": "가", "답": "나"},
        {"id": 1, "examples": SIDE, "instruction": "가", "output": "나"},
        {"instruction": "가", "data": SIDE, "output": "나"},
        {"messages": [{"id": "m1", **TURNS[0]}, {"id": "m2", **TURNS[1]}]},
        {"대화": [{"id": "m1", **TURNS[0]}, {"id": "m2", **TURNS[1]}]},
        {"tools": TOOLS, "messages": TURNS},
        {"chosen": [{"id": 1, **TURNS[1]}], "rejected": [{"id": 2, **TURNS[1]}], "prompt": "가"},
    ],
)
def test_the_lists_of_one_row_are_no_rows(tmp_path: Path, name: str, row: Any, indent: int | None) -> None:
    assert read_bytes(tmp_path, name, dump(row, indent=indent).encode())[0] == [row]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "wrapped",
    [
        {"version": "1", "meta": {"n": 2, "tags": ["a"]}, "data": ROWS},
        {"errors": [], "data": ROWS, "warnings": []},
        {"data": ROWS, "meta": {"a": 1, "tags": ["a", {"b": []}]}, "task": "instruction", "n": 2},
        {"schema": {"fields": [{"name": "index"}]}, "data": ROWS},
        {"질문들": ROWS},
    ],
)
def test_rows_under_a_key_are_rows_whatever_describes_them(tmp_path: Path, wrapped: Any, indent: int | None) -> None:
    assert read_bytes(tmp_path, "a.json", dump(wrapped, indent=indent).encode())[0] == ROWS


def test_several_indented_rows_with_lists_of_objects_are_rows(tmp_path: Path) -> None:
    rows = [{"id": n, "utterances": [{"utterance": "가"}], "meta": {"a": [{"b": 1}]}} for n in range(3)]
    content = "\n".join(dump(row, indent=2) for row in rows)
    assert read_bytes(tmp_path, "a.jsonl", content.encode())[0] == rows


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{"a": 1, "a": 2}', "duplicate key `a`"),
        ('{"a" : 1, "a": 2}', "duplicate key `a`"),
        ('{"a"\t:1,"a"\t:2}', "duplicate key `a`"),
        ('{"m": [{"role": "user", "role": "x"}]}', "duplicate key `role`"),
        ('{"m": {"n": {"o": [{"p": 1, "p": 1}]}}}', "duplicate key `p`"),
        ('{"a": "b", "\\u0061": "c"}', "duplicate key `a`"),
        ('{"\\u001b[0m": 1, "\\u001b[0m": 2}', "duplicate key `␛[0m`"),
        ('{"a": {"x": 1, "y": {}, "x": "\\":"}}', "duplicate key `x`"),
        ('{"a": "말 : \\":\\":", "b": {"a": 1}}', {"a": '말 : ":":', "b": {"a": 1}}),
        ('{"a\\"": 1, "a": 2}', {'a"': 1, "a": 2}),
        ('{"a\\\\": 1, "a": [{"b": [[{"c": 1}]]}]}', {"a\\": 1, "a": [{"b": [[{"c": 1}]]}]}),
        ('{"a": NaN, "b": [Infinity], "c": -Infinity}', {"a": None, "b": [None], "c": None}),
        ('{"id": 123456789012345678901234567890}', {"id": 123456789012345678901234567890}),
        ('{"a": {"id": -9223372036854775809}}', {"a": {"id": -9223372036854775809}}),
        ('{"a": [18446744073709551616, 1.5]}', {"a": [18446744073709551616, 1.5]}),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", f"nested more than {MAX_DEPTH} deep"),
        ('{"a": ' + '{"b":' * 900 + "1" + "}" * 900 + "}", f"nested more than {MAX_DEPTH} deep"),
        ('{"a": ' + "[" * 50 + "]" * 50 + "}", None),
        ("[1]", "not an object"),
        ('"text"', "not an object"),
        ('{"a": "\x01"}', "broken JSON"),
        ('{"a": 1}{"b": 2}', "broken JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "broken JSON"),
    ],
)
def test_what_becomes_of_a_line(tmp_path: Path, row: str, expected: Any) -> None:
    good = '{"good": 1}'
    rows, _ = read_bytes(tmp_path, "a.jsonl", f"{good}\n{row}\n{good}".encode())
    assert rows == [{"good": 1}, json.loads(row) if expected is None else expected, {"good": 1}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[]", []),
        (" \n", []),
        ("{}", [{}]),
        ("null", ["not an object"]),
        ('["a", 1, null]', ["not an object"] * 3),
        ('[1, {"a": 1}, "}", {"a": 2}, x]', ["not an object", {"a": 1}, "not an object", {"a": 2}, "broken JSON"]),
        ('[{"a": 1}, {"a": 2},]', [{"a": 1}, {"a": 2}]),
        ('[\n{"a": 1}\n{"a": 2}\n]', [{"a": 1}, {"a": 2}]),
        ('{"data": [{"text": "가"}]}', [{"text": "가"}]),
        ('{"dialogue": [{"text": "가"}]}', [{"dialogue": [{"text": "가"}]}]),
        ('{"a": 1}\n{\n{"a": 2}', [{"a": 1}, "broken JSON", {"a": 2}]),
        ('}\n{"a": 1}', ["broken JSON", {"a": 1}]),
        ('{"a": "x\n{"a": 1}\n{"a": 2}', ["broken JSON", {"a": 1}, {"a": 2}]),
    ],
)
def test_odd_files(tmp_path: Path, content: str, expected: Any) -> None:
    assert read_bytes(tmp_path, "a.json", content.encode())[0] == expected


@pytest.mark.parametrize("layout", ["[%s]", "[\n%s\n]", '{"data": [%s]}', '{"data": [\n%s\n]}'])
@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ('{"a": 1 "b": 2}', "broken JSON"),
        ('{"a": 1, "a": 2}', "duplicate key `a`"),
        ("null", "not an object"),
        ("[1, 2]", "not an object"),
        ("{'a': 1}", "broken JSON"),
        ('{"a": NaN}', {"a": None}),
    ],
)
def test_a_bad_element_of_a_list_costs_one_row(tmp_path: Path, layout: str, element: str, expected: Any) -> None:
    content = layout % f'{{"good": 1}},\n{element},\n{{"good": 2}}'
    assert read_bytes(tmp_path, "a.json", content.encode())[0] == [{"good": 1}, expected, {"good": 2}]


def test_a_broken_byte_of_a_list_costs_one_row(tmp_path: Path) -> None:
    content = b'[{"a": "\xea\xb0\x80"}, {"a": "\xff"}, {"a": "\xeb\x82\x98"}]'
    assert read_bytes(tmp_path, "a.json", content)[0] == [{"a": "가"}, "broken unicode", {"a": "나"}]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", '[{"a": 1}, {"a": ', r"a.json:1: broken JSON: what opens here never closes"),
        ("a.json", '[\n{"a": 1},\n{"a": [2', r"a.json:3: broken JSON: what opens here never closes"),
        ("a.json", '[\n{"a": 1},\n{"a": "b},\n{"a": 2}\n]', r"a.json:3: broken JSON: brackets do not match"),
        ("a.json", '[\n{"a": 1},\n{"a": [1}\n]', r"a.json:3: broken JSON: brackets do not match"),
        ("a.json", '[{"a": 1}}', r"a.json:1: broken JSON: brackets do not match"),
        ("a.jsonl", '{\n"a": 1}\n]\n{"a": 2}', r"a.jsonl:3: broken JSON: brackets do not match"),
        ("a.json", '[\n{"a": 1}]\n[{"b": 2}]', r"a.json:2: broken JSON: more follows the end"),
        ("a.json", '{"train": [{"a": 1}], "test": [{"a": 2}]}', r"more than one list, the first is `train`"),
        ("a.json", '{"data": [{"a": 1}], "tags": [1, 2]}', r"more than one list, the first is `data`"),
        ("a.json", '{"a": ["가", "나"], "b": ["다", "라"]}', r"one object that holds columns, not rows"),
        ("a.jsonl", '{\n"a": ["가"],\n"b": ["다"]\n}', r"one object that holds columns, not rows"),
        ("a.json", '{"a": {"0": "가"}, "b": {"0": "나"}}', r"one object that holds columns, not rows"),
        ("a.json", '{"data": [{"a": 1}, {"b": ', r"a.json:1: broken JSON: what opens here never closes"),
        ("a.jsonl", "Entry not found", r"a.jsonl: no .jsonl file: it starts with `Entry not found`"),
        ("a.json", "Invalid username or password.\n", r"no .json file: it starts with `Invalid"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        read_bytes(tmp_path, name, content.encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("template", ["[%s]", '{"data": [%s]}', "%s"])
def test_rows_longer_than_a_block_and_rows_across_blocks_are_read(tmp_path: Path, template: str) -> None:
    rows = [{"a": '가나\n"' * (HEAD_BYTES // 2 if n == 1 else 20_000), "n": n} for n in range(12)]
    content = template % ",\n".join(dump(row, indent=1) for row in rows)
    assert read_bytes(tmp_path, "a.json", content.encode())[0] == rows


@pytest.mark.parametrize("opening", ['[{"a": "', '{"data": [{"a": "', "[" * 3, '[{"a": ['])
def test_what_never_closes_takes_linear_time(tmp_path: Path, opening: str) -> None:
    with soon(10), pytest.raises(UserError, match="broken JSON"):
        read_bytes(tmp_path, "a.json", opening.encode() + b"x" * 20_000_000)
