"""Parquet, Arrow and Excel: only what is wanted is parsed, and one bad value costs one row."""

import datetime
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from rabbit_ko.errors import UserError
from tests.dataset_builders.read.reading import read_all, read_bytes

TEXTS = ["가", None, "", "다", "nan"]
TYPES = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}
DAMAGED = pa.array([b"\xea\xb0\x80", b"\xff\xfe", b"\xeb\x8b\xa4"]).view(pa.string())


def write(path: Path, table: pa.Table, kind: str) -> Path:
    """Write a table as parquet, an Arrow file, or an Arrow stream."""
    if kind == "parquet":
        pq.write_table(table, path.with_suffix(".parquet"))
        return path.with_suffix(".parquet")
    maker = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with maker(str(path.with_suffix(".arrow")), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path.with_suffix(".arrow")


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
@pytest.mark.parametrize("name", TYPES)
def test_texts_of_every_type_are_texts(tmp_path: Path, kind: str, name: str) -> None:
    column = pa.array(TEXTS).dictionary_encode() if name == "dictionary" else pa.array(TEXTS, TYPES[name])
    path = write(tmp_path / "a", pa.table({"a": column, "b": range(5)}), kind)
    assert read_all(path, {"a", "none"}) == ([{"a": text} for text in TEXTS], [])
    assert read_all(path, {"none"}) == ([{}] * 5, [])
    assert read_all(path)[0][3] == {"a": "다", "b": 3}


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
@pytest.mark.parametrize(
    "other",
    [
        pa.array([253402300799] * 3, pa.timestamp("s", tz="Asia/Seoul")),
        pa.array([1] * 3, pa.timestamp("s", tz="KST+9")),
        pa.array([1 << 62] * 3, pa.timestamp("us")),
        pa.array([1 << 30] * 3, pa.date32()),
        DAMAGED,
        pa.array([[1]] * 3),
        pa.array([[("k", 1)]] * 3, pa.map_(pa.string(), pa.int32())),
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_that_nothing_reads_cannot_break_a_row(tmp_path: Path, kind: str, other: Any) -> None:
    path = write(tmp_path / "a", pa.table({"a": ["가", "나", "다"], "other": other}), kind)
    assert read_all(path, {"a"}) == ([{"a": "가"}, {"a": "나"}, {"a": "다"}], [])


UNUSUAL = [
    pa.array([{}, {}, {}], pa.struct([])),
    pa.array([2**62, 1, 2], pa.timestamp("s")),
    pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval()),
    pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), pa.array(["x"])),
    pa.UnionArray.from_sparse(pa.array([0, 1, 0], pa.int8()), [pa.array([1, 2, 3]), pa.array(["a", "b", "c"])]),
]


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("other", UNUSUAL, ids=lambda column: str(column.type))
def test_a_type_that_only_arrow_knows_breaks_no_file(tmp_path: Path, kind: str, other: Any) -> None:
    path = write(tmp_path / "a", pa.table({"a": ["가", "나", "다"], "other": other}), kind)
    assert read_all(path, {"a"}) == ([{"a": "가"}, {"a": "나"}, {"a": "다"}], [])
    assert len(read_all(path)[0]) == 3


def test_each_batch_of_a_stream_may_have_a_dictionary_of_its_own(tmp_path: Path) -> None:
    kind = pa.schema({"a": pa.dictionary(pa.int32(), pa.string())})
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), kind) as writer:
        for texts in (["가", "나"], ["다", "가"]):
            writer.write_batch(pa.record_batch([pa.array(texts).dictionary_encode()], schema=kind))
    assert read_all(tmp_path / "a.arrow")[0] == [{"a": text} for text in "가나다가"]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_rows_of_arrow_files_do_not_depend_on_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_ROWS", size)
    monkeypatch.setattr("dataset_builders.read.foreign.ROWS_PER_BATCH", 2)
    for count in (0, 1, 6, 7):
        path = write(tmp_path / f"{count}", pa.table({"a": range(count)}), "file")
        assert read_all(path)[0] == [{"a": number} for number in range(count)]


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (DAMAGED, "broken unicode"),
        (pa.StructArray.from_arrays([DAMAGED], ["content"]), "broken unicode"),
        (pa.array([1, 1 << 62, 2], pa.timestamp("us")), r"a value cannot be read (OverflowError)"),
    ],
)
def test_one_bad_value_costs_one_row(tmp_path: Path, kind: str, column: Any, reason: str) -> None:
    rows, _ = read_all(write(tmp_path / "a", pa.table({"a": column, "b": range(3)}), kind))
    assert [row if isinstance(row, str) else row["b"] for row in rows] == [0, reason, 2]


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
@pytest.mark.parametrize("type_", [pa.float64(), pa.float32(), pa.float16()], ids=str)
def test_nan_is_a_missing_value(tmp_path: Path, kind: str, type_: Any) -> None:
    column = pa.array([1.5, None, math.nan, math.inf, -math.inf], type_)
    rows, _ = read_all(write(tmp_path / "a", pa.table({"a": column}), kind))
    assert rows == [{"a": value} for value in (1.5, None, None, None, None)]


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_names_of_columns_compare_composed(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", pa.table({"\u1100\u1161": ["x"], "b.c": ["y"], "b": ["z"]}), kind)
    assert read_all(path, {"가", "b"})[0] == [{"가": "x", "b": "z"}]
    table = pa.Table.from_arrays([pa.array(["x"])] * 2, ["\u1100\u1161", "가"])
    with pytest.raises(UserError, match="two columns are called `가`; rename one"):
        read_all(write(tmp_path / "b", table, kind))


def test_folders_that_datasets_saves_are_read_without_what_is_no_row(tmp_path: Path) -> None:
    rows = [{"instruction": f"질문 {n}", "output": "답"} for n in range(5)]
    Dataset.from_list(rows).save_to_disk(tmp_path / "one", num_shards=2)
    found, notes = read_all(tmp_path / "one", work=tmp_path / "work")
    assert (found, notes) == (rows, ["not read: dataset_info.json, state.json"])
    (tmp_path / "one/cache-0123.arrow").write_bytes(next((tmp_path / "one").glob("data*.arrow")).read_bytes())
    assert read_all(tmp_path / "one", work=tmp_path / "work")[0] == rows
    parts = {"train": Dataset.from_list(rows[:3]), "test": Dataset.from_list(rows[3:])}
    DatasetDict(parts).save_to_disk(tmp_path / "two")
    found, notes = read_all(tmp_path / "two", work=tmp_path / "work")
    assert sorted(row["instruction"] for row in found) == [row["instruction"] for row in rows]
    skipped = [
        "dataset_dict.json",
        *(f"{it}/{name}.json" for it in ("test", "train") for name in ("dataset_info", "state")),
    ]
    assert notes == [f"not read: {', '.join(skipped)}"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.parquet", b"PAR1 no", "broken parquet file"),
        ("a.arrow", b"ARROW1\0\0 no", "broken Arrow file"),
        ("a.arrow", b"\xff\xff\xff\xff\x10\0\0\0no", "broken Arrow file"),
        ("a.arrow", b"what is this", "broken Arrow file"),
        ("a.xlsx", b"PK\x03\x04 no", "broken Excel file"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    with pytest.raises(UserError, match=f"{name}: {expected}") as caught:
        read_bytes(tmp_path, name, content)
    assert "\n" not in str(caught.value)


CELLS: list[list[Any]] = [
    ["질문", "답", "수", ""],
    ['하나, "둘"\n셋', "예", 27, ""],
    ["", "", "", ""],
    ["넷", 3.5, True, ""],
    ["다섯", "", datetime.date(2026, 1, 2), ""],
]
EXCEL = [
    {"질문": '하나, "둘"\n셋', "답": "예", "수": "27"},
    {"질문": "넷", "답": "3.5", "수": "TRUE"},
    {"질문": "다섯", "답": "", "수": "2026-01-02"},
]


def workbook(**sheets: Any) -> bytes:
    """Return a workbook with the given cells; a sheet whose name starts with `hidden` is."""
    file, names = io.BytesIO(), list(sheets)
    office = "http://schemas.openxmlformats.org"
    main, rel = f"{office}/spreadsheetml/2006/main", f"{office}/officeDocument/2006/relationships"
    places = range(1, len(names) + 1)
    state = {name: ' state="hidden"' if name.startswith("hidden") else "" for name in names}
    entries = "".join(
        f'<sheet name="{it}" sheetId="{n}"{state[it]} r:id="r{n}"/>' for n, it in zip(places, names, strict=True)
    )
    links = "".join(f'<Relationship Id="r{n}" Type="{rel}/worksheet" Target="s{n}.xml"/>' for n in places)
    styled = f'<Relationship Id="r0" Type="{rel}/styles" Target="styles.xml"/>'
    package = f"{office}/package/2006"
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("[Content_Types].xml", f'<Types xmlns="{package}/content-types"/>')
        root = f'<Relationship Id="r1" Type="{rel}/officeDocument" Target="xl/workbook.xml"/>'
        zipped.writestr("_rels/.rels", f'<Relationships xmlns="{package}/relationships">{root}</Relationships>')
        zipped.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{rel}"><sheets>{entries}</sheets></workbook>'
        )
        zipped.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships">{links}{styled}</Relationships>',
        )
        styles = '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs>'
        zipped.writestr("xl/styles.xml", f'<styleSheet xmlns="{main}">{styles}</styleSheet>')
        for n, name in zip(places, names, strict=True):
            rows = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in sheets[name])
            zipped.writestr(f"xl/s{n}.xml", f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>')
    return file.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>' if value else "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime.date):
        return f'<c s="1"><v>{(value - datetime.date(1899, 12, 30)).days}</v></c>'
    return f"<c><v>{value}</v></c>"


@pytest.mark.parametrize(
    ("sheets", "rows", "notes"),
    [
        ({"Sheet1": CELLS}, EXCEL, []),
        ({"empty": [], "둘째": CELLS}, EXCEL, []),
        ({"hidden": [["a"]], "b": CELLS}, EXCEL, ["a.xlsx: sheet `b` was read, and not `hidden`"]),
        ({"하나": CELLS, "둘": CELLS, "셋": [["x"]]}, EXCEL, ["a.xlsx: sheet `하나` was read, and not `둘`, `셋`"]),
        ({"header": CELLS[:1]}, [], []),
        ({"empty": []}, [], []),
    ],
)
def test_an_excel_workbook_is_read_as_the_csv_that_it_would_save(
    tmp_path: Path, sheets: Any, rows: Any, notes: list[str]
) -> None:
    assert read_bytes(tmp_path, "a.xlsx", workbook(**sheets)) == (rows, notes)


def test_two_columns_of_a_workbook_with_one_name_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.xlsx: two columns are called `답`; rename one"):
        read_bytes(tmp_path, "a.xlsx", workbook(s=[["답", "답"], ["가", "나"]]))
