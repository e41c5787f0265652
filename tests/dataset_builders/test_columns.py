"""Rows that are converted as columns are the rows that the plain rule makes, one by one."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.batch import from_rows
from dataset_builders.convert import convert_part
from dataset_builders.parts import cut
from dataset_builders.recipe import SourceConfig
from dataset_builders.rows import Row
from dataset_builders.sources import SOURCES
from dataset_builders.sources.exchange import Exchange
from rabbit_ko.errors import Rejected
from tests.dataset_builders.files import write_jsonl

PLAIN = [name for name, source in SOURCES.items() if isinstance(source.rule, Exchange)]
SPACES = " \t\n\x0b\x0c\r\x1c\x1f\x85\xa0\u1680\u2003\u2028\u202f\u3000"
TEXTS = st.text(st.sampled_from(f"가나 aZ1#<{SPACES}\0\u1100\u0301😀"), max_size=6)


def raw_rows(source: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows with every field of a source, and some that lack optional ones."""
    known = SOURCES[source]
    required = dict.fromkeys(known.required, TEXTS)
    return st.lists(
        st.fixed_dictionaries(required, optional=dict.fromkeys(known.optional, TEXTS)), min_size=1, max_size=8
    )


def plainly(source: str, rows: list[dict[str, Any]]) -> tuple[list[Row], int]:
    """The rows that the source's rule makes, and the number of those that it rejects."""
    made = []
    for row in rows:
        try:
            made.append(SOURCES[source].convert(row, source))
        except Rejected:
            continue
    return made, len(rows) - len(made)


def as_a_part(source: str, path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows that a file leaves, whatever way they go, and the number of rejected ones."""
    [part] = cut(str(path), [])
    converted = list(convert_part(part, SourceConfig(source=source, path=str(path))))
    rows = [row for result in converted for row in result.batch.to_table(source).to_pylist()]
    return rows, sum(len(result.rejected) for result in converted)


def by_id(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=repr)


@pytest.mark.parametrize("source", PLAIN)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_columns_and_the_plain_rule_agree(
    tmp_path_factory: pytest.TempPathFactory, source: str, data: st.DataObject
) -> None:
    rows = data.draw(raw_rows(source))
    made, rejected = plainly(source, rows)
    expected = by_id(from_rows(SOURCES[source].stage, made).to_table(source).to_pylist())
    folder = tmp_path_factory.mktemp("rows")
    write_jsonl(folder / "rows.jsonl", rows)
    columns = sorted({name for row in rows for name in row})
    pq.write_table(
        pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in columns}),
        folder / "rows.parquet",
    )
    for file in ("rows.jsonl", "rows.parquet"):
        found, dropped = as_a_part(source, folder / file)
        assert by_id(found) == expected
        assert dropped == rejected


@pytest.mark.parametrize("source", PLAIN)
def test_clean_rows_go_the_way_of_columns(tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = SOURCES[source].fields
    rows = [{name: f"{name} {number}" for name in fields} for number in range(20)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    expected, _ = plainly(source, rows)
    monkeypatch.setattr(Exchange, "convert", None)
    found, rejected = as_a_part(source, path)
    assert (by_id(found), rejected) == (
        by_id(from_rows(SOURCES[source].stage, expected).to_table(source).to_pylist()),
        0,
    )


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
    [part] = cut(str(path), [])
    entry = SourceConfig(source="alpaca", path=str(path), columns={"instruction": "input"})
    [row] = [row for result in convert_part(part, entry) for row in result.batch.to_table("alpaca").to_pylist()]
    assert [message["content"] for message in row["messages"]] == ["물음", "답"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"instruction": "\xea\xb0\x80", "output": "b", "url": "\xff"}',
        b'{"instruction": "c", "output": "d"} {"instruction": "e", "output": "f"}\n',
        b"  \n\n\t",
    ],
)
def test_a_line_has_the_same_fate_whatever_stands_beside_it(tmp_path: Path, line: bytes) -> None:
    good = b'{"instruction": "a", "output": "b"}'
    fates = []
    for beside in (b"", b"not json"):
        (tmp_path / "rows.jsonl").write_bytes(b"\n".join([good, line, beside]))
        rows, rejected = as_a_part("koalpaca", tmp_path / "rows.jsonl")
        fates.append((rows, rejected - bool(beside)))
    assert fates[0] == fates[1]
