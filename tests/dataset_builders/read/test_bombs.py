"""Small files that unfold to large ones, and rows without an end: each a line, or a row that is dropped."""

import gzip
import json
import re
import resource
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.read import bounds, delimited, foreign, inputs, json_lines, json_values, scan, sizes, tables
from dataset_builders.read.bounds import ROW_BYTES, TABLE_BYTES, TOO_LARGE
from rabbit_ko.cli.app import told
from rabbit_ko.errors import UserError
from tests.conftest import environment
from tests.dataset_builders.files import OFF, RABBIT, write_config
from tests.dataset_builders.read.reading import read_all

pytestmark = pytest.mark.hostile

KIB, MIB = 1 << 10, 1 << 20
LOWERED = {
    "ROW_BYTES": 2 * KIB,
    "LINE_BYTES": 64 * KIB,
    "UNFOLDED_BYTES": 128 * KIB,
    "TABLE_BYTES": 256 * KIB,
    "TABLE_VALUES": 5_000,
    "WORKBOOK_BYTES": 256 * MIB,
}
ROW = {"instruction": "질문", "output": "답"}
OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")


def lines(*outputs: str) -> bytes:
    return b"".join(json.dumps({**ROW, "output": it}).encode() + b"\n" for it in outputs)


def repeated(text: str, rows: int) -> pa.Table:
    """A table that has a text once, and rows that all point to it."""
    output = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    return pa.table({"instruction": ["질문"] * rows, "output": output})


def pointing(way: str, text: str, rows: int) -> pa.Table:
    """A table that has a text once, and rows that all point to it in another way."""
    codes, starts, counts = pa.array([0] * rows, pa.int8()), pa.array([0] * rows, pa.int32()), pa.array([1] * rows)
    values = pa.array([text])
    if way == "dense union":
        column = pa.UnionArray.from_dense(codes, starts, [values])
    elif way == "sparse union":
        column = pa.UnionArray.from_sparse(codes, [pa.DictionaryArray.from_arrays(starts, values)])
    elif way == "list view":
        column = pa.ListViewArray.from_arrays(starts, counts.cast(pa.int32()), values)
    else:
        column = pa.LargeListViewArray.from_arrays(starts.cast(pa.int64()), counts, values)
    return pa.table({"output": column})


def parquet(table: pa.Table, store_schema: bool = True) -> Callable[[Path], None]:
    return lambda path: pq.write_table(table, path, compression="zstd", store_schema=store_schema)


def once(table: pa.Table) -> Callable[[Path], None]:
    return lambda path: pq.write_table(table, path, compression="zstd", use_dictionary=False)


def arrow(table: pa.Table) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with pa.ipc.new_file(str(path), table.schema, options=OPTIONS) as writer:
            writer.write_table(table)

    return write


def stream(table: pa.Table) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with pa.ipc.new_stream(str(path), table.schema, options=OPTIONS) as writer:
            writer.write_table(table)

    return write


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return bytes(sink.getvalue())


def workbook(rows: str) -> Callable[[Path], None]:
    """A workbook whose only sheet has these rows, in XML."""
    schemas, package = "http://schemas.openxmlformats.org", "/package/2006/relationships"
    office, main = f"{schemas}/officeDocument/2006/relationships", f"{schemas}/spreadsheetml/2006/main"

    def relation(kind: str, target: str) -> str:
        relation = f'<Relationship Id="r1" Type="{office}/{kind}" Target="{target}"/>'
        return f'<Relationships xmlns="{schemas}{package}">{relation}</Relationships>'

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("_rels/.rels", relation("officeDocument", "xl/workbook.xml"))
            file.writestr("xl/_rels/workbook.xml.rels", relation("worksheet", "worksheets/sheet1.xml"))
            sheet = f'<sheets><sheet name="S" sheetId="1" r:id="r1" xmlns:r="{office}"/></sheets>'
            file.writestr("xl/workbook.xml", f'<workbook xmlns="{main}">{sheet}</workbook>')
            with file.open("xl/worksheets/sheet1.xml", "w") as written:
                written.write(f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'.encode())

    return write


def cell(place: str, text: str) -> str:
    row = place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return f'<row r="{row}"><c r="{place}" t="inlineStr"><is><t>{text}</t></is></c></row>'


LONG, ENDLESS = "가" * KIB, "가" * 32 * KIB
BIG = {**ROW, "output": ENDLESS * 4}
NULLS = pa.FixedSizeListArray.from_arrays(pa.nulls(6_000), 6_000)
UNFOLDS = "unfold to more than"
NO_END = "a row in it is larger than 64 KiB, or has no end"
BOMBS: dict[str, tuple[str, Callable[[Path], object] | bytes, str]] = {
    "gzip": ("a.jsonl.gz", gzip.compress(b" " * MIB), UNFOLDS),
    "zstd": ("a.csv.zst", zstd(b"a,b\n" * MIB), UNFOLDS),
    "several gzips": ("a.json.gz", gzip.compress(b" " * 64 * KIB) * 9, UNFOLDS),
    "parquet": ("a.parquet", parquet(repeated(LONG[:500], 1_000)), f"rows 0 to 1,000 {UNFOLDS} 256 KiB"),
    "plain parquet": ("a.parquet", parquet(repeated(LONG[:500], 1_000), False), f"rows 0 to 1,000 {UNFOLDS} 256 KiB"),
    "values of parquet": ("a.parquet", once(pa.table({"output": [LONG * 2] * 200})), f"its .* {UNFOLDS}"),
    "rows of parquet": ("a.parquet", parquet(repeated("", 6_000)), "more than 5,000 rows or values in a column"),
    "lists of parquet": ("a.parquet", parquet(pa.table({"a": [[""] * 6_000]})), "more than 5,000 rows or values"),
    "Arrow": ("a.arrow", arrow(pa.Table.from_pylist([BIG] * 9)), UNFOLDS),
    "Arrow stream": ("a.arrow", stream(pa.Table.from_pylist([BIG] * 9)), UNFOLDS),
    "Arrow dense union": ("a.arrow", arrow(pointing("dense union", ENDLESS, 100)), UNFOLDS),
    "Arrow sparse union": ("a.arrow", arrow(pointing("sparse union", ENDLESS, 100)), UNFOLDS),
    "Arrow list view": ("a.arrow", arrow(pointing("list view", ENDLESS, 100)), UNFOLDS),
    "Arrow large list view": ("a.arrow", arrow(pointing("large list view", ENDLESS, 100)), UNFOLDS),
    "rows of Arrow": ("a.arrow", arrow(pa.table({"a": pa.nulls(2_000_000_000)})), UNFOLDS),
    "values of Arrow": ("a.arrow", arrow(pa.table({"a": NULLS})), "more than 5,000 rows, or values of one column"),
    "Arrow dictionary": ("a.arrow", arrow(repeated(ENDLESS, 100)), UNFOLDS),
    "row of Arrow": ("a.arrow", arrow(pa.Table.from_pylist([{"output": ENDLESS}])), NO_END),
    "line": ("a.jsonl", lines("답", ENDLESS, "답"), NO_END),
    "element": ("a.json", b"[%b]" % lines(ENDLESS * 40), "what opens here does not close, or is too large"),
    "field": ("a.csv", f"a,b\nc,{ENDLESS}\n".encode(), NO_END),
    "open quote": ("a.csv", f'a,b\nc,"{ENDLESS}'.encode(), "2: broken CSV: the quote that opens here does not close"),
    "cell far out": ("a.xlsx", workbook(cell("A1", "a") + cell("XFD1048576", "b")), "takes more memory than 256 MiB"),
    "cell": ("a.xlsx", workbook(cell("A1", "a" * (64 * MIB))), "takes more memory than 256 MiB"),
}


@pytest.fixture
def _lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower all bounds, and read in small blocks."""
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 16 * KIB)
    for module in (bounds, delimited, foreign, inputs, json_lines, json_values, scan, sizes, tables):
        for name, value in LOWERED.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("_lowered")
@pytest.mark.parametrize(("name", "content", "said"), BOMBS.values(), ids=list(BOMBS))
def test_what_unfolds_without_end_is_one_line_and_leaves_nothing(
    tmp_path: Path, name: str, content: Callable[[Path], object] | bytes, said: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content) if isinstance(content, bytes) else content(file)
    with pytest.raises(UserError) as raised:
        read_all(file, work=tmp_path / "work")
    assert re.search(said, str(raised.value))
    assert str(raised.value).startswith(str(file))
    left = list((tmp_path / "work").iterdir()) if (tmp_path / "work").exists() else []
    assert sum(it.stat().st_size for it in left) <= 256 * KIB


@pytest.mark.usefixtures("_lowered")
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", lines("답", LONG * 4, "답")),
        ("a.json", b"[" + b",".join(lines("답", LONG * 4, "답").splitlines()) + b"]"),
        ("a.csv", f"instruction,output\n질문,답\n질문,{LONG * 4}\n질문,답\n".encode()),
        ("a.parquet", parquet(pa.Table.from_pylist([ROW, {**ROW, "output": LONG * 4}, ROW]))),
        ("a.arrow", arrow(pa.Table.from_pylist([ROW, {**ROW, "output": LONG * 4}, ROW]))),
    ],
)
def test_a_row_that_is_too_large_is_dropped_and_the_others_are_read(
    tmp_path: Path, name: str, content: Callable[[Path], object] | bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content) if isinstance(content, bytes) else content(file)
    assert read_all(file)[0] == [ROW, TOO_LARGE, ROW]


@pytest.mark.parametrize("way", ["dense union", "sparse union", "list view", "large list view"])
def test_the_rows_of_a_part_of_a_batch_are_measured(way: str) -> None:
    [batch] = pa.concat_tables([pointing(way, LONG, 2), pointing(way, "답", 2)]).combine_chunks().to_batches()
    small, large = len("답".encode()), len(LONG.encode())
    assert [size // large for size in sizes.row_sizes(batch)] == [1, 1, 0, 0]
    assert all(small < size < 100 for size in sizes.row_sizes(batch[2:]))


def test_parquet_is_read_in_large_batches_where_its_texts_are_not_repeated(tmp_path: Path) -> None:
    table = pa.table({"output": [f"{number} " + "가" * 700 for number in range(10_000)]})
    parquet(table)(tmp_path / "a.parquet")
    [chunk] = inputs.prepare(str(tmp_path / "a.parquet"), str(tmp_path)).chunks
    with (tmp_path / "a.parquet").open("rb") as file:
        assert len(list(tables._parquet(file, chunk, None))) <= 50


def test_a_column_with_a_dot_in_its_name_is_measured_as_others_are(tmp_path: Path) -> None:
    parquet(repeated(LONG, 9).rename_columns(["instruction", "output.text"]))(tmp_path / "a.parquet")
    with (tmp_path / "a.parquet").open("rb") as file:
        group = pq.read_metadata(file).row_group(0)
        assert tables._largest(file, group, {"output.text"}) > len(LONG.encode()) // 100
        assert tables._largest(file, group, {"other"}) == 0


def test_a_row_group_a_row_is_read_once_and_the_footer_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "CHUNK_ROWS", 20)
    pq.write_table(pa.Table.from_pylist([ROW] * 3_000), tmp_path / "a.parquet", row_group_size=1)
    chunks = inputs.prepare(str(tmp_path / "a.parquet"), str(tmp_path)).chunks
    footers, groups = list[Any](), list[int]()
    read_footer = pq.read_metadata

    class Counted(pq.ParquetFile):
        def __init__(self, file: Any, metadata: Any = None) -> None:
            assert metadata is footers[-1]
            super().__init__(file, metadata=metadata)

        def iter_batches(self, rows: int, row_groups: list[int], columns: list[str]) -> Any:
            groups.extend(row_groups)
            return super().iter_batches(rows, row_groups=row_groups, columns=columns)

    def counted(file: Any) -> Any:
        footers.append(read_footer(file))
        return footers[-1]

    monkeypatch.setattr(pq, "read_metadata", counted)
    monkeypatch.setattr(pq, "ParquetFile", Counted)
    assert sum(len(list(tables.read_table(chunk, None))) for chunk in chunks) == 3_000
    assert (len(footers), groups) == (1, list(range(3_000)))


def test_a_parquet_file_that_unfolds_to_gigabytes_ends_in_a_line_with_little_memory(tmp_path: Path) -> None:
    rows = 2 * TABLE_BYTES // (ROW_BYTES - MIB) + 600
    parquet(repeated("a" * (ROW_BYTES - MIB), rows), store_schema=False)(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    config = write_config(tmp_path / "data.yaml", {"source": "alpaca", "path": "a.parquet"}, quality=OFF)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

    command = [*RABBIT, "data", "--config", config.name, "--out", "out", "--workers", "1"]
    # Else what is set aside for each core of a large machine is more than the limit.
    variables = environment(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MALLOC_ARENA_MAX="2")
    ran = subprocess.run(
        command, cwd=tmp_path, env=variables, preexec_fn=limit, capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("error: a.parquet: rows 0 to ")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("take", [lambda: bytearray(1 << 62), lambda: pa.allocate_buffer(1 << 62)])
def test_memory_that_is_out_is_a_line(capsys: pytest.CaptureFixture[str], take: Callable[[], object]) -> None:
    with pytest.raises(SystemExit) as raised, told(debug=False):
        take()
    assert raised.value.code == 1
    assert capsys.readouterr().err.startswith("error: the memory that this process may use is full; ")
