"""Mistakes on the command line: one line that says where and what to do, exit code 1 or 2, nothing left behind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import environment
from tests.dataset_builders.files import write_config, write_jsonl

GOOD = {"instruction": "가", "output": "나"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the builders in a folder, without the network."""
    variables = environment(HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hf"))
    command = [sys.executable, "-m", "dataset_builders", "build", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)


def fails_with(folder: Path, *expected: str) -> None:
    """Build `data.yaml` and expect one line that holds all of `expected`, and no output."""
    result = run(folder, "data.yaml", "--out", "data/x")
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for words in expected:
        assert words in result.stderr
    assert not list((folder / "data/x").glob("[!.]*"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sources: [", ["data.yaml: not valid YAML", "line 1"]),
        ("sources: []", ["data.yaml: sources:"]),
        ("", ["data.yaml:"]),
        ("seed: 1\nseed: 2\nsources: [{source: koalpaca, path: x}]", ["data.yaml", "the key `seed` stands twice"]),
        ("sources: [{source: koalpaca, path: ''}]", ["sources[0].path"]),
        (
            "sources: [{source: koalpaca, path: x, probability: 0.8}]",
            ["sources[0]", "without `add_system_prompt: true`"],
        ),
        ("sources: [{source: koalpaca, path: ., revision: main}]", ["a local path has no `revision`"]),
        ("sources: [{source: koalpca, path: x}]", ["sources[0].source", "did you mean `koalpaca`?"]),
        (
            "sources: [{source: koalpaca, path: x, probabilty: 0.8}]",
            ["sources[0].probabilty: unknown key", "did you mean `probability`?"],
        ),
        ("seeed: 1\nsources: [{source: koalpaca, path: x}]", ["seeed: unknown key; did you mean `seed`?"]),
        ("sources: [{source: koalpaca}]", ["sources[0].path"]),
        (
            "quality: {lenght: {}}\nsources: [{source: koalpaca, path: x}]",
            ["quality.lenght", "did you mean `length`?"],
        ),
        (
            "quality: {length: {minimum: 1}}\nsources: [{source: koalpaca, path: x}]",
            ["quality.length.minimum", "did you mean `min`?"],
        ),
        (
            "quality: {length: {min: 9, max: 5}}\nsources: [{source: koalpaca, path: x}]",
            ["quality.length", "min: 9 is more than max, 5"],
        ),
        ("sources: [{source: koalpaca, path: 'foo://x'}]", ["foo://x: Protocol not known"]),
        (
            "sources: [{source: koalpaca, path: x, add_system_prompt: true, probability: high}]",
            ["sources[0].probability", "'high'"],
        ),
        (
            "sources: [{source: koalpaca, path: x, add_system_prompt: true, probability: 1.2}]",
            ["sources[0].probability", "1.2"],
        ),
        ("sources: [{source: koalpaca, path: x, max_samples: 0}]", ["sources[0].max_samples", "0"]),
        ("sources: [{source: alpaca, path: x, columns: {outptu: a}}]", ["no field `outptu`; did you mean `output`?"]),
        (
            "sources: [{source: alpaca, path: x}, {source: alpaca, path: y}]",
            ["two sources are called `alpaca`; give each a `name` of its own"],
        ),
        ("sources: [{source: koalpaca, path: ./none.jsonl}]", ["./none.jsonl: no such file or folder"]),
        (
            "sources: [{source: koalpaca, path: org/none}]",
            ["org/none: no such local path, and the hub dataset cannot be loaded"],
        ),
    ],
)
def test_config_mistakes(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "data.yaml").write_text(text)
    fails_with(tmp_path, *expected)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('{"instruction": \n', ["rows.jsonl: of 1 rows none is left", "1 broken JSON"]),
        ("[1]\n", ["none is left", "1 not an object"]),
        ('{"instruction": "가", "output": 5}\n', ["none is left", "1 `output` must be text, not int"]),
        ('{"instruction": "가", "ouput": "나"}\n', ["rows.jsonl: `koalpaca` needs a column `output`", "`ouput`?"]),
        ("[" * 100_000 + "\n", ["none is left", "1 broken JSON"]),
    ],
)
def test_a_file_that_holds_nothing_else_than_broken_rows(tmp_path: Path, lines: str, expected: list[str]) -> None:
    (tmp_path / "rows.jsonl").write_text(lines)
    write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": "rows.jsonl"})
    fails_with(tmp_path, *expected)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.csv", b"instruction,output\n\xea\xb0\x80,\xeb\x82\x98,x\n", ["rows.csv", "1 not as many fields"]),
        ("rows.csv", b'instruction,output\n"a"b,c\n', ["rows.csv:2: broken CSV"]),
        ("rows.csv", b"instruction,output\n\xb0\xa1,b\n", ["rows.csv", "utf-8"]),
        ("rows.parquet", b"PAR1 no", ["rows.parquet: broken parquet file"]),
        ("rows.txt", b"x", ["rows.txt: nothing to read", ".jsonl, .csv, .parquet"]),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, expected: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": name})
    fails_with(tmp_path, *expected)


def test_a_missing_config_and_wrong_usage(tmp_path: Path) -> None:
    fails_with(tmp_path, "data.yaml: no such file")
    assert run(tmp_path, "data.yaml").returncode == 2
    assert run(tmp_path, "data.yaml", "--out", "").returncode == 2


def test_a_parquet_file_with_two_columns_of_one_name(tmp_path: Path) -> None:
    columns = [pa.array(["가"])] * 2
    pq.write_table(pa.Table.from_arrays(columns, ["instruction", "instruction"]), tmp_path / "rows.parquet")
    write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": "rows.parquet"})
    fails_with(tmp_path, "rows.parquet: two columns are called `instruction`; rename one")


def test_object_storage_without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": "s3://nowhere/rows.jsonl"})
    fails_with(tmp_path, "data/x: ", "credentials")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in run(tmp_path, "data.yaml", "--out", "data/x", "--debug").stderr


@pytest.mark.parametrize("suffix", ["jsonl", "JSONL", "csv", "parquet"])
def test_a_folder_of_any_format_is_read_through_the_column_mapping(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [{"질문": f'물음 {i}, "{i}"', "답변": f"답\n\n{i}"} for i in range(20)]
    folder = tmp_path / "mine"
    folder.mkdir()
    if suffix.lower() == "jsonl":
        write_jsonl(folder / f"a.{suffix}", rows)
    elif suffix == "csv":
        import csv

        with (folder / "a.csv").open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, ["질문", "답변"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    columns = {"instruction": "질문", "output": "답변"}
    write_config(tmp_path / "data.yaml", {"source": "alpaca", "name": "faq", "path": "mine", "columns": columns})
    result = run(tmp_path, "data.yaml", "--out", "data/x", "--make-deps", "deps.mk")
    assert result.returncode == 0, result.stderr
    assert "faq" in result.stdout
    assert (
        tmp_path / "deps.mk"
    ).read_text() == f"data/x/manifest.json: mine mine/a.{suffix}\nmine:\nmine/a.{suffix}:\n"
    parts = (pq.read_table(path).to_pylist() for path in (tmp_path / "data/x/sft").glob("*.parquet"))
    contents = {row["messages"][0]["content"] for part in parts for row in part}
    assert contents == {row["질문"] for row in rows}
