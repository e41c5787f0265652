"""Encodings: read and said, or refused where they are not certain."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from rabbit_ko.errors import UserError
from tests.dataset_builders.read.reading import read_bytes

ROWS = [{"질문": "대한민국의 수도는 어디인가요?", "답": "서울입니다. 똠방각하 펲시콜라"}] * 4
CSV = "질문,답\n" + "".join(f"{row['질문']},{row['답']}\n" for row in ROWS)
TSV = CSV.replace(",", "\t")
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TEXTS = {
    "a.csv": CSV,
    "a.tsv": TSV,
    "a.jsonl": LINES,
    "a.json": json.dumps(ROWS, ensure_ascii=False, indent=1),
    "b.json": json.dumps(ROWS, ensure_ascii=False),
}
MARKED = {"UTF-16": "utf-16", "UTF-32": "utf-32"}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    ("codec", "mark", "said"),
    [
        ("utf-8", "", ""),
        ("utf-8", "\ufeff", "UTF-8 with a byte order mark"),
        ("utf-16-le", "\ufeff", "UTF-16"),
        ("utf-16-be", "\ufeff", "UTF-16"),
        ("utf-32-le", "\ufeff", "UTF-32"),
        ("cp949", "", "CP949"),
    ],
)
def test_korean_is_read_in_every_encoding_that_is_certain(
    tmp_path: Path, name: str, codec: str, mark: str, said: str
) -> None:
    rows, notes = read_bytes(tmp_path, name, (mark + TEXTS[name]).encode(codec))
    assert rows == ROWS
    if said and name.endswith("csv"):
        assert notes == [f"{name}: read as {said}"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chinese.csv", "问题,回答\n你好吗今天天气怎么样,我很好谢谢你的关心今天天气不错\n".encode("gb18030") * 5),
        ("japanese.csv", "質問,答え\nお元気ですか今日はいい天気ですね,はい元気です\n".encode("euc-jp") * 5),
        ("sjis.jsonl", '{"質問": "お元気ですか", "答え": "はい、元気です"}\n'.encode("shift-jis") * 5),
        ("french.csv", "question,réponse\nça va été,où êtes-vous à Genève\n".encode("latin-1") * 5),
        ("short.csv", "a,b\n가나,다\n".encode("cp949")),
        ("cut.csv", CSV.encode("cp949") + b"\xb0\n"),
        ("mixed.csv", (CSV * 300).encode("cp949") + CSV.encode()),
        ("cut.jsonl", ("\ufeff" + LINES).encode("utf-16-le")[:-1]),
        ("no_mark.csv", ("a,b\n" * 9).encode("utf-16-le")),
    ],
)
def test_what_is_not_certain_is_refused_by_a_line_that_says_what_was_tried(
    tmp_path: Path, name: str, content: bytes
) -> None:
    with pytest.raises(UserError, match=rf"{name}: .*(CP949|UTF-16).*; save it as UTF-8"):
        read_bytes(tmp_path, name, content)


@pytest.mark.parametrize("bad", [b"\xff", b"\xb0\xa1", b"\xed\xa0\x80", b"caf\xe9", b"\xea\xb0"])
def test_a_broken_byte_in_json_lines_costs_one_row_and_no_more(tmp_path: Path, bad: bytes) -> None:
    for good in (b'{"a": "b"}\n', '{"a": "가"}\n'.encode()):
        rows, notes = read_bytes(tmp_path, "a.jsonl", good * 2 + b'{"a": "' + bad + b'"}\n' + good * 2)
        value = json.loads(good)
        assert (rows, notes) == ([value, value, "broken unicode", value, value], [])


@pytest.mark.parametrize("place", [0, 25, 50])
@pytest.mark.parametrize("size", [7, 1 << 20])
@pytest.mark.parametrize("bad", [b'{"a": "caf\xe9"}', '{"a": "답'.encode()[:-1], '{"a": "답'.encode()[:-2] + b'"}'])
def test_what_a_broken_byte_costs_does_not_depend_on_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int, size: int, bad: bytes
) -> None:
    monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_BYTES", size)
    lines = [b'{"a": "b"}'] * 50
    rows, notes = read_bytes(tmp_path, "a.jsonl", b"\n".join([*lines[:place], bad, *lines[place:]]))
    assert (rows[place], len(rows), notes) == ("broken unicode", 51, [])
    rows, _ = read_bytes(tmp_path, "a.csv", b"a,b\n" + b"x,y\n" * place + b"caf\xe9,y\n" + b"x,y\n" * (50 - place))
    assert (rows[place], len(rows)) == ("broken unicode", 51)


def test_korean_far_behind_other_text_is_found(tmp_path: Path) -> None:
    content = b"a,b\n" + b"x,y\n" * 900_000 + "대한민국의 수도는,서울이고 여기는 어디인가요\n".encode("cp949")
    rows, notes = read_bytes(tmp_path, "a.csv", content)
    assert rows[-1] == {"a": "대한민국의 수도는", "b": "서울이고 여기는 어디인가요"}
    assert notes == ["a.csv: read as CP949"]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("codec", ["utf-8", "cp949", "utf-16"])
def test_compressed_files_are_read_as_what_is_in_them(tmp_path: Path, name: str, codec: str) -> None:
    content: Any = TEXTS[name].encode(codec)
    half = len(content) // 2
    gz = gzip.compress(content[:half]) + gzip.compress(content[half:])
    assert read_bytes(tmp_path, f"{name}.gz", gz)[0] == ROWS
    zst = zstandard.compress(content[:half]) + zstandard.compress(content[half:])
    assert read_bytes(tmp_path, f"{name}.zst", zst)[0] == ROWS
    rows, notes = read_bytes(tmp_path, f"{name}.GZ", content)
    assert rows == ROWS
    assert f"{name}.GZ: is not compressed, whatever its name says" in notes


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_compressed_file_that_is_cut_off_is_named(tmp_path: Path, name: str) -> None:
    content = gzip.compress(LINES.encode()) if name.endswith("gz") else zstandard.compress(LINES.encode())
    with pytest.raises(UserError, match=rf"{name}: broken (gzip|zstd) file"):
        read_bytes(tmp_path, name, content[:-9])
