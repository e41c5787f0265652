"""A chunk's rows: which columns they come from, and that no row depends on what stands beside it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.conversion import Log, convert
from dataset_builders.read.formats import read_rows
from dataset_builders.read.inputs import prepare
from dataset_builders.recipe import SourceConfig
from dataset_builders.rows import Row, all_messages
from tests.dataset_builders.files import write_jsonl


def converted(path: Path, source: str, **options: Any) -> tuple[list[Row], int]:
    """The rows that a file of one chunk leaves, and the number of rejected ones."""
    log = Log(SourceConfig(source=source, path=str(path), **options))
    [chunk] = prepare(str(path), str(path.parent)).chunks
    return list(convert(read_rows(chunk), log)), len(log.rejected)


@pytest.mark.parametrize("odd", [[], [{"input": 1, "output": "답"}]])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_column_that_is_named_like_an_optional_field_is_what_it_is_mapped_to(
    tmp_path: Path, suffix: str, odd: list[Any]
) -> None:
    rows = [{"input": "물음", "output": "답"}, *odd]
    path = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        write_jsonl(path, rows)
    elif suffix == "csv":
        path.write_text("input,output\n물음,답\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows[:1]), path)
    [row], _ = converted(path, "alpaca", columns={"instruction": "input"})
    assert [message["content"] for message in all_messages(row)] == ["물음", "답"]


@pytest.mark.parametrize("groups", [3, 10, 100])
def test_chunks_of_a_parquet_file_share_its_rows_whatever_its_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_ROWS", 7)
    monkeypatch.setattr("dataset_builders.read.tables.PARQUET_ROWS", 4)
    rows = [{"id": number} for number in range(50)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=groups)
    chunks = prepare(str(tmp_path / "rows.parquet"), str(tmp_path)).chunks
    assert len(chunks) == 8
    assert [row for chunk in chunks for row in read_rows(chunk)] == rows


@pytest.mark.parametrize(
    "line",
    [
        b'{"instruction": "\xea\xb0\x80", "output": "b", "url": "\xff"}',
        b'{"instruction": "c", "output": "d"} {"instruction": "e", "output": "f"}\n',
        b"  \n\n\t",
    ],
)
def test_a_line_has_the_same_status_whatever_stands_beside_it(tmp_path: Path, line: bytes) -> None:
    good = b'{"instruction": "a", "output": "b"}'
    found = []
    for beside in (b"", b"not json"):
        (tmp_path / "rows.jsonl").write_bytes(b"\n".join([good, line, beside]))
        rows, rejected = converted(tmp_path / "rows.jsonl", "koalpaca")
        found.append((rows, rejected - bool(beside)))
    assert found[0] == found[1]
