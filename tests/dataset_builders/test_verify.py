"""`verify` finds whatever is not as it was built; `diff` names the rows and reasons that changed."""

import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dataset_builders.manifest import read_manifest
from dataset_builders.verify import diff, verify
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import build_rows, read_rows

ROWS = [{**row, "id": str(number)} for number, row in enumerate(exchanges(40))]
BAD = {"id": "bad", "instruction": "질문", "output": " "}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of shards, with a rejected row."""
    build_rows(tmp_path, "alpaca", [*ROWS, BAD], rows_per_shard=15, test_size=0.1)
    return tmp_path / "data"


def run(*arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def change_manifest(data: Path, **changes: Any) -> None:
    """Write other values into the manifest, with the checksum that belongs to them."""
    manifest = read_manifest(str(data)).model_copy(update=changes)
    (data / "manifest.json").write_text(manifest.to_json())


def test_a_folder_as_it_was_built_is_verified(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = verify(str(data))
    assert sum(shard.rows for shard in manifest.shards) == 41
    assert run("verify", str(data)) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert manifest.fingerprint in said.out


def test_a_changed_a_missing_and_a_strange_file_are_all_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed, missing, *_ = sorted((data / "sft").iterdir())
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    missing.unlink()
    shutil.copy(data / "rejected/train-00000-of-00001.parquet", data / "sft/train-00009-of-00010.parquet")
    (data / "dpo/sub").mkdir(parents=True)
    shutil.copy(data / "rejected/train-00000-of-00001.parquet", data / "dpo/sub")
    assert run("verify", str(data)) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 5
    assert "not the bytes that were built" in lines[0]
    assert "missing" in lines[1]
    assert "not in the manifest" in lines[2]
    assert lines[-1] == f"{data}: run `make data` again"


def test_a_manifest_that_was_changed_is_found(data: Path) -> None:
    [source] = read_manifest(str(data)).sources
    change_manifest(data, sources=[source.model_copy(update={"kept": source.kept - 1})])
    with pytest.raises(UserError, match="neither kept nor dropped"):
        verify(str(data))
    change_manifest(data, sources=[source.model_copy(update={"rejected": {"length": 1}})])
    with pytest.raises(UserError, match="the rejected rows are not those"):
        verify(str(data))
    change_manifest(data, sources=[source], fingerprint="0" * 64)
    with pytest.raises(UserError, match="fingerprint"):
        verify(str(data))


@pytest.mark.parametrize(("content", "words"), [(None, "no such file"), ("{}", "not a manifest of this version")])
def test_without_a_manifest_nothing_is_vouched_for(data: Path, content: str | None, words: str) -> None:
    (data / "manifest.json").unlink()
    if content:
        (data / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=words):
        verify(str(data))


def test_every_row_that_was_read_is_in_one_place(data: Path) -> None:
    ids = [row["id"] for folder in ("sft", "rejected") for row in read_rows(data, folder)]
    assert sorted(ids) == sorted(f"alpaca/{row['id']}" for row in [*ROWS, BAD])


def test_two_builds_of_the_same_rows_do_not_differ(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_rows(tmp_path / "again", "alpaca", [*ROWS, BAD][::-1], rows_per_shard=15, test_size=0.1)
    assert run("diff", str(data), str(tmp_path / "again/data")) == 0
    assert capsys.readouterr().out == "no row differs\n"


def test_what_changed_is_named_by_row_and_reason(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = [dict(row) for row in ROWS[2:]]
    other[0]["output"] += " 덧붙인 말."
    other[1]["output"] = ""
    other.append({"id": "new", "instruction": "새 질문", "output": "새 답"})
    build_rows(tmp_path / "other", "alpaca", [*other, BAD], rows_per_shard=15, test_size=0.0)
    changed = diff(str(data), str(tmp_path / "other/data"))
    tests = {row["id"] for row in pq.read_table(next((data / "sft").glob("test*"))).to_pylist()}
    assert changed["+ sft/train"] == ["alpaca/new"]
    assert sorted(chain(*(ids for what, ids in changed.items() if what.startswith("- ")))) == ["alpaca/0", "alpaca/1"]
    assert ["alpaca/3"] in [ids for what, ids in changed.items() if what.endswith("-> empty turn")]
    assert changed.get("says something else") == ["alpaca/2"] or "alpaca/2" in tests
    assert set(changed.get("sft/test -> sft/train", [])) == tests - {"alpaca/0", "alpaca/1", "alpaca/3"}
    assert run("diff", str(data), str(tmp_path / "other/data")) == 1
    assert "1 + sft/train: alpaca/new" in capsys.readouterr().out
