"""What a build costs follows its rows, not the number of its files and sources."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dataset_builders import build as building
from dataset_builders import split
from dataset_builders.build import build
from dataset_builders.gates import Quality
from dataset_builders.manifest import read_manifest
from dataset_builders.recipe import load_config
from rabbit_ko.storage import read_arrow
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import write_config, write_jsonl

OFF: Any = {"action": "off"}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the split among all rows opens a file, by the file's name."""
    counts = Counter[str]()

    def counted(path: str, columns: Any = ()) -> Any:
        counts[Path(path).stem] += 1
        return read_arrow(path, columns)

    monkeypatch.setattr(split, "read_arrow", counted)
    return counts


def chunks_of(config: Path, out: Path) -> int:
    """Build, and return in how many chunks that was done."""
    totals: dict[str, int] = {}
    build(load_config(config), out, lambda what, done, total: totals.update({what: total}))
    return totals["chunks"]


def test_small_files_share_a_chunk_and_make_the_bytes_of_one_file(tmp_path: Path) -> None:
    rows = exchanges(300)
    write_jsonl(tmp_path / "one/0.jsonl", rows)
    for number in range(100):
        write_jsonl(tmp_path / f"many/{number}.jsonl", rows[number::100])
    fingerprints = []
    for name in ("one", "many"):
        config = write_config(tmp_path / f"{name}.yaml", {"source": "koalpaca", "path": str(tmp_path / name)})
        assert chunks_of(config, tmp_path / f"out-{name}") == 1
        fingerprints.append(read_manifest(str(tmp_path / f"out-{name}")).fingerprint)
    assert fingerprints[0] == fingerprints[1]


def test_chunks_do_not_grow_beyond_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [row] = exchanges(1)
    for number in range(100, 199):
        path = write_jsonl(tmp_path / f"in/{number}.jsonl", [{**row, "instruction": f"{number}번 질문입니다"}])
    monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_BYTES", 33 * path.stat().st_size)
    config = write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": str(tmp_path / "in")})
    assert chunks_of(config, tmp_path / "out") == 3


def test_many_limited_sources_read_each_key_once_and_each_signature_as_often_as_few(
    tmp_path: Path, opened: Counter[str]
) -> None:
    opens = {}
    for count in (5, 40):
        entries: list[dict[str, Any]] = []
        for number in range(count):
            path = write_jsonl(tmp_path / f"{count}/{number}.jsonl", exchanges(6, seed=number))
            entries.append({"source": "koalpaca", "name": f"s{number}", "path": str(path), "max_samples": 4})
        opened.clear()
        manifest = build(load_config(write_config(tmp_path / "data.yaml", *entries)), tmp_path / f"out{count}")
        assert [source.kept for source in manifest.sources] == [4] * count
        assert opened["keys"] == count
        opens[count] = opened["signatures"] / count
    assert opens[40] == opens[5]


@pytest.mark.parametrize(
    ("asked", "size", "quality", "expected"),
    [
        (None, 200_000_000, OFF, 1),
        (None, 300_000_000, OFF, 4),
        (None, 50_000_000, {}, 1),
        (None, 70_000_000, {}, 4),
        (2, 100_000_000, OFF, 2),
        (8, 20_000_000, OFF, 3),
        (8, 0, OFF, 1),
    ],
)
def test_small_inputs_are_for_one_process_unless_it_is_asked_for_more(
    asked: int | None, size: int, quality: Any, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "cores", lambda: 4)
    assert building._worth(asked, size, Quality(**quality)) == expected


def test_pyarrow_does_without_pandas_until_it_is_asked_for_it() -> None:
    script = """
import sys
from rabbit_ko.storage import spare_pandas
import pyarrow as pa
spare_pandas()
table = pa.table({"text": ["가", None], "number": [1, 2]}).take(pa.array([1, 0]))
assert "pandas" not in sys.modules
assert table.to_pandas()["text"].tolist() == [None, "가"]
assert pa.Table.from_pandas(table.to_pandas()).to_pylist() == table.to_pylist()
"""
    subprocess.run([sys.executable, "-c", script], check=True)
