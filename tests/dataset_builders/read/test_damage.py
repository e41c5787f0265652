"""Damaged files of every format: rows, or one line that names the file; never a traceback or a dead process."""

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from rabbit_ko.errors import UserError
from tests.dataset_builders.read.reading import read_all
from tests.dataset_builders.read.test_tables import CELLS, workbook

ROWS = [{"a": f"질문 {number}", "b": [{"c": "d"}]} for number in range(30)]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()
INDENTED = json.dumps(ROWS, ensure_ascii=False, indent=1).encode()
CSV = "a,b\n" + "".join(f'질문 {number},"답 ""{number}""\n 둘"\n' for number in range(30))
BYTES = b'"\n\r,{}[]\\\x00\xff:'


def tables() -> dict[str, bytes]:
    """Return one table as parquet, as an Arrow stream, and as an Arrow file."""
    table, parquet, stream, file = pa.Table.from_pylist(ROWS), io.BytesIO(), io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    for sink, maker in ((stream, pa.ipc.new_stream), (file, pa.ipc.new_file)):
        with maker(sink, table.schema) as writer:
            writer.write_table(table)
    return {"a.parquet": parquet.getvalue(), "a.arrow": stream.getvalue(), "b.arrow": file.getvalue()}


FILES: dict[str, bytes] = {
    "a.jsonl": LINES,
    "a.json": INDENTED,
    "b.json": b'{"data": ' + INDENTED + b"}",
    "a.csv": CSV.encode(),
    "b.csv": CSV.encode("cp949"),
    "c.csv": CSV.encode("utf-16"),
    "a.jsonl.gz": gzip.compress(LINES, mtime=0),
    "a.csv.zst": zstandard.compress(CSV.encode()),
    "a.xlsx": workbook(s=CELLS),
    **tables(),
}


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Return content with bytes changed or put in, or its end cut off."""
    found = bytearray(content)
    for _ in range(rng.randint(1, 5)):
        what, place = rng.random(), rng.randrange(len(found) + 1)
        if what < 0.6 and place < len(found):
            found[place] = rng.randrange(256)
        elif what < 0.7:
            del found[place:]
        else:
            found[place:place] = bytes(rng.choices(BYTES, k=rng.randint(1, 4)))
    return bytes(found)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_read_or_named_in_one_line(tmp_path: Path, name: str) -> None:
    rng, lines = random.Random(name), dict[Path, str]()
    for number in range(60):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(damaged(FILES[name], rng))
        try:
            rows: list[Any] = read_all(path, work=tmp_path / "work")[0]
            assert all(isinstance(row, str | dict) for row in rows)
        except UserError as error:
            lines[path] = str(error)
    assert lines or name == "a.jsonl"
    assert all(str(path) in line and line.isprintable() for path, line in lines.items())
