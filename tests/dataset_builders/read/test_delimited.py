"""CSV and TSV: the same rows whatever the size of the chunks, line ends, quotes and delimiters."""

import csv
import io
import random
from pathlib import Path
from typing import Any

import pytest

from rabbit_ko.errors import UserError
from tests.dataset_builders.read.reading import read_bytes
from tests.soon import soon

CHUNK = "dataset_builders.read.inputs.CHUNK_BYTES"


@pytest.mark.parametrize(
    ("name", "text", "rows", "notes"),
    [
        ("a.csv", "a,b\n1,2\n", [{"a": "1", "b": "2"}], []),
        ("a.csv", "a,b\r1,2\r3,4", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}], []),
        ("a.csv", "a,b\r\n1,2\r\n\r\n3,4\r\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}], []),
        ("a.csv", "\n\na,b\n1,2", [{"a": "1", "b": "2"}], []),
        ("a.csv", 'a,"b\nc"\n1,"2\n3"', [{"a": "1", "b\nc": "2\n3"}], []),
        ("a.csv", 'a,크기(")\n1,27"\n2,"32"""', [{"a": "1", '크기(")': '27"'}, {"a": "2", '크기(")': '32"'}], []),
        ("a.csv", "a,b\n,\n", [{"a": "", "b": ""}], []),
        ("a.csv", "a,b\n1\n1,2,3\n1,2", ["not as many fields as the header has"] * 2 + [{"a": "1", "b": "2"}], []),
        ("a.csv", "a,b,,\n1,2,,\n", [{"a": "1", "b": "2", "column 3": "", "column 4": ""}], []),
        ("a.csv", "a,b\n", [], []),
        ("a.csv", "a,b", [], []),
        ("a.csv", "a", [], []),
        ("a.csv", "\ufeffa,b\n1,2", [{"a": "1", "b": "2"}], ["a.csv: read as UTF-8 with a byte order mark"]),
        ("a.csv", '\ufeff"a","b"\n1,2', [{"a": "1", "b": "2"}], ["a.csv: read as UTF-8 with a byte order mark"]),
        ("a.csv", "a;b\n1,5;2", [{"a": "1,5", "b": "2"}], ["a.csv: its fields are parted by semicolons"]),
        ("a.csv", "a\tb\n1\t2,3", [{"a": "1", "b": "2,3"}], ["a.csv: its fields are parted by tabs"]),
        ("a.csv", "a|b\n1|2", [{"a": "1", "b": "2"}], ["a.csv: its fields are parted by vertical bars"]),
        ("a.csv", '"a";"b"\r\n"1;";"2"', [{"a": "1;", "b": "2"}], ["a.csv: its fields are parted by semicolons"]),
        ("a.csv", "a;b,c\n1,2", [{"a;b": "1", "c": "2"}], []),
        ("a.csv", "질문; 답\n하나\n둘", [{"질문; 답": "하나"}, {"질문; 답": "둘"}], []),
        ("a.tsv", 'a\tb\n1,"\t2', [{"a": '1,"', "b": "2"}], []),
        ("a.tsv", "a,b\n1,2", [{"a": "1", "b": "2"}], ["a.tsv: its fields are parted by commas"]),
        ("a.tsv", "a\tb\r1\t\r", [{"a": "1", "b": ""}], []),
        ("a.csv", "a\u1100\u1161,b\n1,2", [{"a가": "1", "b": "2"}], []),
        ("a.csv", "a,b\n\x00,2", [{"a": "\x00", "b": "2"}], []),
    ],
)
def test_rows_of_a_file(tmp_path: Path, name: str, text: str, rows: list[Any], notes: list[str]) -> None:
    assert read_bytes(tmp_path, name, text.encode()) == (rows, notes)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b,a\n1,2,3", "a.csv: two columns are called `a`; rename one"),
        ("가,\u1100\u1161\n1,2", "two columns are called `가`"),
        ("\x1b[0m,\x1b[0m\n1,2", r"two columns are called `␛\[0m`"),
        ('a,b\n1,2\n3,"4\n5,6\n', "a.csv:3: broken CSV: the quote that opens here never closes"),
        ('"a,b\n1,2\n', "a.csv:1: broken CSV: the quote that opens here never closes"),
        ('a,b\n1,"2"x\n', r"a.csv:2: broken CSV: ',' expected after '\"'"),
        ('a,b\n1,"2 "3" 4"\n', "a.csv:2: broken CSV"),
        ('a,"b"c\n1,2\n', "a.csv:1: broken header"),
    ],
)
@pytest.mark.parametrize("size", [3, 1 << 20])
def test_a_file_that_cannot_be_read_is_named_with_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: str, size: int
) -> None:
    monkeypatch.setattr(CHUNK, size)
    with pytest.raises(UserError, match=expected):
        read_bytes(tmp_path, "a.csv", content.encode())


def test_a_broken_byte_costs_one_row(tmp_path: Path) -> None:
    content = "질문,답\n하나,둘\n".encode() + b"\xff,x\n" + "셋,넷".encode()
    rows, _ = read_bytes(tmp_path, "a.csv", content)
    assert rows == [{"질문": "하나", "답": "둘"}, "broken unicode", {"질문": "셋", "답": "넷"}]


@pytest.mark.parametrize("size", [3, 1 << 20])
@pytest.mark.parametrize("header", ["a,가나", '"a","가나"', "\ufeffa,가나", "a,\u1100\u1161\u1102\u1161", "a,가나,"])
def test_a_header_that_is_repeated_is_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str, size: int
) -> None:
    monkeypatch.setattr(CHUNK, size)
    end = "," if header.endswith(",") else ""
    rows, _ = read_bytes(tmp_path, "a.csv", "\n".join([header, f"a,b{end}", header, f"c,가나{end}"]).encode())
    read = [{"a": "a", "가나": "b"}, "the header again", {"a": "c", "가나": "가나"}]
    assert [row if isinstance(row, str) else {name: row[name] for name in ("a", "가나")} for row in rows] == read


def _field(rng: random.Random) -> str:
    return "".join(
        rng.choices(["가", "a", '"', '""', ",", "\n", "\r\n", "\r", " ", '",', '\n"'], k=rng.randint(0, 6))
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
def test_rows_do_not_depend_on_where_the_file_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, quoting: Any
) -> None:
    rng, text = random.Random(seed), io.StringIO()
    rows = [{"a": _field(rng), "b": _field(rng), "c": "끝"} for _ in range(40)]
    # Python 3.11 quotes only the line breaks that it ends lines with.
    end = "\r\n" if quoting == csv.QUOTE_MINIMAL else rng.choice(["\n", "\r\n", "\r"])
    writer = csv.DictWriter(text, ["a", "b", "c"], quoting=quoting, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    for size in (1, 2, 3, 5, 7, 16, 64, 1 << 20):
        monkeypatch.setattr(CHUNK, size)
        assert read_bytes(tmp_path, "a.csv", text.getvalue().encode())[0] == rows, size


def test_quotes_within_fields_do_not_shift_the_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"a": f'{n}" 화면' if n % 3 else f'x""{n}', "b": f'"{n}\n"'} for n in range(60)]
    lines = ["a,b", *(f'{row["a"]},"{row["b"].replace(chr(34), chr(34) * 2)}"' for row in rows)]
    for size in (4, 11, 50, 1 << 20):
        monkeypatch.setattr(CHUNK, size)
        assert read_bytes(tmp_path, "a.csv", "\n".join(lines).encode())[0] == rows


def test_a_quote_that_never_closes_takes_linear_time(tmp_path: Path) -> None:
    said = r"a.csv:2: broken CSV: the quote that opens here never closes"
    with soon(10), pytest.raises(UserError, match=said):
        read_bytes(tmp_path, "a.csv", b'a,b\n1,"' + b"x,y\n" * 10_000_000)
