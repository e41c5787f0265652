"""`rabbit data`: mistakes are one line that says where and what to do, exit code 1 or 2, and leave nothing behind."""

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rabbit_ko.cli import main
from tests.conftest import ROOT, environment
from tests.dataset_builders.files import RABBIT, write_config, write_jsonl

GOOD = {"instruction": "가", "output": "나"}
CALL = ("data", "--config", "data.yaml", "--out", "data/x")
Capture = pytest.CaptureFixture[str]


def run(*arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_rows_that_the_language_of_a_source_drops_are_named_with_the_key(in_tmp: Path, capsys: Capture) -> None:
    korean = [{"instruction": f"{n}번 질문입니다", "output": f"{n}번 답변입니다"} for n in range(60)]
    english = [{"instruction": f"What is number {n}?", "output": f"It is number {n}."} for n in range(40)]
    write_jsonl(in_tmp / "rows.jsonl", korean + english)
    write_config(in_tmp / "data.yaml", {"source": "alpaca", "path": "rows.jsonl"})
    assert run(*CALL) == 0
    assert "alpaca: 40 rows are not in Korean; `language: en` keeps all of the source" in capsys.readouterr().out


def fails_with(capture: Capture, *expected: str) -> None:
    """Build `data.yaml` and expect one line that holds all of `expected`, and no output."""
    assert run(*CALL) == 1
    _is_one_line(capture.readouterr().err, *expected)


def fails_alone_with(folder: Path, *expected: str) -> None:
    """The same in a process of its own, without the network and without anybody's credentials."""
    variables = environment(HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hf"), HOME=str(folder))
    variables |= {"AWS_EC2_METADATA_DISABLED": "true"}
    result = subprocess.run(
        [*RABBIT, *CALL], cwd=folder, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 1
    _is_one_line(result.stderr, *expected)


def _is_one_line(errors: str, *expected: str) -> None:
    assert len(errors.strip().splitlines()) == 1, errors
    for words in expected:
        assert words in errors
    assert not list(Path("data/x").glob("[!.]*"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sources: [", ["data.yaml: not valid YAML", "line 2"]),
        ("sources: []", ["data.yaml: sources:"]),
        ("", ["data.yaml:"]),
        ("sources: [{source: koalpaca, path: ''}]", ["sources[0].path"]),
        (
            "sources: [{source: koalpaca, path: x, probability: 0.8}]",
            ["sources[0]", "without `add_system_prompt: true`"],
        ),
        ("sources: [{source: koalpaca, path: ., revision: main}]", ["a local path has no `revision`"]),
        ("sources: [{source: koalpca, path: x}]", ["sources[0].source", "did you mean `koalpaca`?"]),
        (
            "sources: [{source: koalpaca, path: x, probabilty: 0.8}]",
            ["sources[0]: probabilty: unknown key", "did you mean `probability`?"],
        ),
        ("seeed: 1\nsources: [{source: koalpaca, path: x}]", ["seeed: unknown key; did you mean `seed`?"]),
        ("sources: [{source: koalpaca}]", ["sources[0].path"]),
        (
            "quality: {lenght: {}}\nsources: [{source: koalpaca, path: x}]",
            ["quality: lenght: unknown key", "did you mean `length`?"],
        ),
        (
            "quality: {length: {minimum: 1}}\nsources: [{source: koalpaca, path: x}]",
            ["quality.length: minimum", "did you mean `min`?"],
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
        ("seed: 1\nseed: 2\nsources: [{source: koalpaca, path: x}]", ["line 1: the key `seed` stands twice"]),
        ("quality: {length: {min: 9, max: 5}}\nsources: [{source: koalpaca, path: x}]", ["min 9 is more than max 5"]),
        ("sources: [{source: koalpaca, path: ./none.jsonl}]", ["./none.jsonl: no such file or folder"]),
        ("limit: 5\nsources: [{source: koalpaca, path: x}]", ["limit: unknown key"]),
        ("instruction: x\nsources: [{source: koalpaca, path: x}]", ["`instruction` is called `system_prompt` now"]),
        ("test_fraction: 0\nsources: [{source: koalpaca, path: x}]", ["`test_fraction` is called `test_size` now"]),
        ("licence_policy: any\nsources: [{source: koalpaca, path: x}]", ["is called `license_policy` now"]),
        ("sources: [{source: koalpaca, path: x, licence: MIT}]", ["sources[0]: ", "called `license` now"]),
        ("sources: [{source: koalpaca, path: x, licence_accepted: so}]", ["is called `license_accepted` now"]),
        ("sources: [{source: koalpaca, path: x, add_instruction: true}]", ["is called `add_system_prompt` now"]),
        (
            "sources: [{source: koalpaca, path: x, limit: 5}]",
            ["[0]: `limit` is called `max_samples` now"],
        ),
        ("sources: [{source: koalpaca, path: x, forgery: escape}]", ["is called `prompt_injection` now"]),
        (
            "quality: {subjects: {left_out: [math]}}\nsources: [{source: koalpaca, path: x}]",
            ["quality.subjects: `left_out` is called `drop` now"],
        ),
        (
            "quality: {contamination: {sets: [kobest]}}\nsources: [{source: koalpaca, path: x}]",
            ["quality.contamination: `sets` is called `benchmarks` now"],
        ),
    ],
)
def test_config_mistakes(in_tmp: Path, capsys: Capture, text: str, expected: list[str]) -> None:
    Path("data.yaml").write_text(text)
    fails_with(capsys, *expected)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('{"instruction": \n', ["rows.jsonl: of 1 rows none is left", "1 broken JSON"]),
        ("[1]\n", ["none is left", "1 not an object"]),
        ('{"instruction": "가", "output": 5}\n', ["none is left", "1 `output` must be text, not int"]),
        (
            '{"instruction": "가", "ouput": "나"}\n',
            ["rows.jsonl: of 1 rows none is left", "1 no field `output`; name them with `columns:`"],
        ),
        ("[" * 100_000 + "\n", ["rows.jsonl:1: broken JSON: what opens here never closes"]),
        ('{"instruction": ' + "[" * 100_000 + "\n", ["none is left", "1 nested more than 100 deep"]),
    ],
)
def test_a_file_that_holds_nothing_else_than_broken_rows(
    in_tmp: Path, capsys: Capture, lines: str, expected: list[str]
) -> None:
    Path("rows.jsonl").write_text(lines)
    write_config(Path("data.yaml"), {"source": "koalpaca", "path": "rows.jsonl"})
    fails_with(capsys, *expected)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("rows.csv", b"instruction,output\n\xea\xb0\x80,\xeb\x82\x98,x\n", ["rows.csv", "1 not as many fields"]),
        ("rows.csv", b'instruction,output\n"a"b,c\n', ["rows.csv:2: broken CSV"]),
        (
            "rows.csv",
            b"instruction,output\n\xb0\xa1,b\n",
            ["rows.csv: its encoding is neither UTF-8 nor, for certain, CP949; save it as UTF-8"],
        ),
        ("rows.parquet", b"PAR1 no", ["rows.parquet: broken parquet file"]),
        ("rows.txt", b"x", ["rows.txt: nothing to read", ".jsonl, .ndjson, .json, .csv"]),
    ],
)
def test_broken_files(in_tmp: Path, capsys: Capture, name: str, content: bytes, expected: list[str]) -> None:
    Path(name).write_bytes(content)
    write_config(Path("data.yaml"), {"source": "koalpaca", "path": name})
    fails_with(capsys, *expected)


def test_a_broken_line_of_csv_is_named_by_its_number_in_any_chunk(
    in_tmp: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_BYTES", 100)
    Path("rows.csv").write_text("instruction,output\n" + "가나다,라마바\n" * 98 + '"a"b,c\n')
    write_config(Path("data.yaml"), {"source": "koalpaca", "path": "rows.csv"})
    fails_with(capsys, "rows.csv:100: broken CSV")


def test_a_missing_config_and_wrong_usage(in_tmp: Path, capsys: Capture) -> None:
    fails_with(capsys, "data.yaml: no such file")
    assert run("data", "--config", "data.yaml") == 2
    assert run("data", "--out", "data/x") == 2


def test_a_parquet_file_with_two_columns_of_one_name(in_tmp: Path, capsys: Capture) -> None:
    columns = [pa.array(["가"])] * 2
    pq.write_table(pa.Table.from_arrays(columns, ["instruction", "instruction"]), "rows.parquet")
    write_config(Path("data.yaml"), {"source": "koalpaca", "path": "rows.parquet"})
    fails_with(capsys, "rows.parquet: two columns are called `instruction`; rename one")


def test_a_hub_dataset_that_is_not_there(in_tmp: Path) -> None:
    write_config(Path("data.yaml"), {"source": "koalpaca", "path": "org/none"})
    fails_alone_with(in_tmp, "org/none: no such local path, and the hub dataset cannot be loaded")


def test_object_storage_without_credentials(in_tmp: Path) -> None:
    write_config(Path("data.yaml"), {"source": "koalpaca", "path": "s3://nowhere/rows.jsonl"})
    fails_alone_with(in_tmp, "credentials")


def test_debug_shows_the_traceback(in_tmp: Path, capsys: Capture) -> None:
    assert run(*CALL, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_data_that_is_up_to_date_is_said_so_in_a_line_and_not_built_again(in_tmp: Path, capsys: Capture) -> None:
    write_jsonl(Path("rows.jsonl"), [{"instruction": f"{n}번 질문", "output": f"{n}번 답"} for n in range(9)])
    write_config(Path("data.yaml"), {"source": "koalpaca", "path": "rows.jsonl"})
    assert run(*CALL) == 0
    assert "sft koalpaca" in capsys.readouterr().out
    assert run(*CALL) == 0
    assert capsys.readouterr().out == "data/x: up to date\n"
    assert run(*CALL, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sources"][0]["kept"] == 9


def test_the_summary_names_greetings_and_the_columns_that_nothing_reads(in_tmp: Path, capsys: Capture) -> None:
    turns = [{"role": role, "content": "안녕하세요"} for role in ("assistant", "user", "assistant")]
    extra = {f"열{number:02}": 1 for number in range(22)} | {"a\x1b[31m": 2}
    write_jsonl(Path("rows.jsonl"), [{"messages": turns, "images": [], **extra}])
    write_config(Path("data.yaml"), {"source": "messages", "path": "rows.jsonl", "ignore_columns": ["열00"]})
    assert run(*CALL) == 0
    out = capsys.readouterr().out
    assert "messages: dropped 1 greeting before the first question, only counted\n" in out
    assert "messages: nothing reads `a␛[31m`, `열01`, `열02`" in out
    assert "`열19` and 2 more\n" in out


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "없음\x1b[31m.jsonl"},
        {"path": "자료\x1b[31m"},
        {"path": "d.jsonl", "columns": {"output": "답\x1b[31m"}},
    ],
)
def test_names_in_a_failure_send_nothing_to_the_terminal(in_tmp: Path, capsys: Capture, entry: Any) -> None:
    write_jsonl(in_tmp / "자료\x1b[31m/a.jsonl", [{"x": 1}])
    write_jsonl(in_tmp / "d.jsonl", [GOOD])
    write_config(in_tmp / "data.yaml", {"source": "alpaca", **entry})
    assert run(*CALL) == 1
    line = capsys.readouterr().err
    assert line.removesuffix("\n").isprintable()
    assert "␛[31m" in line
    assert any(name in line for name in ("없음", "자료", "답"))


def test_the_manifest_names_all_files_that_are_not_read_and_the_terminal_the_first(
    in_tmp: Path, capsys: Capture
) -> None:
    write_jsonl(in_tmp / "d/a.jsonl", [{"instruction": "질문입니다", "output": "답변입니다"}])
    names = [f"b{number}.jsonl.bz2" for number in range(5)]
    for name in names:
        (in_tmp / "d" / name).write_bytes(b"BZh")
    write_config(in_tmp / "data.yaml", {"source": "alpaca", "path": "d"})
    assert run(*CALL) == 0
    assert f"alpaca: not read: {', '.join(names[:3])} and 2 more\n" in capsys.readouterr().out
    [source] = json.loads(Path("data/x/manifest.json").read_text())["sources"]
    assert source["notes"] == [f"not read: {', '.join(names)}"]


@pytest.mark.parametrize("suffix", ["jsonl", "JSONL", "csv", "parquet"])
def test_a_folder_of_any_format_is_read_through_the_column_mapping(
    in_tmp: Path, capsys: Capture, suffix: str
) -> None:
    rows: list[dict[str, Any]] = [{"질문": f'물음 {i}, "{i}"', "답변": f"답\n\n{i}"} for i in range(20)]
    file = Path("mine") / f"a.{suffix}"
    file.parent.mkdir()
    if suffix.lower() == "jsonl":
        write_jsonl(file, rows)
    elif suffix == "csv":
        with file.open("w", encoding="utf-8-sig", newline="") as lines:
            writer = csv.DictWriter(lines, ["질문", "답변"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    columns = {"instruction": "질문", "output": "답변"}
    write_config(Path("data.yaml"), {"source": "alpaca", "name": "faq", "path": "mine", "columns": columns})
    assert run(*CALL) == 0
    assert "faq" in capsys.readouterr().out
    shards = (pq.read_table(path).to_pylist() for path in Path("data/x/sft").glob("*.parquet"))
    assert {row["messages"][0]["content"] for shard in shards for row in shard} == {row["질문"] for row in rows}


def test_a_data_yaml_of_ones_own_may_ask_the_hub_though_the_smoke_recipe_works_without(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    write_jsonl(in_tmp / "rows.jsonl", [{"instruction": "질문입니다", "output": "답변입니다"}])
    write_config(in_tmp / "data.yaml", {"source": "alpaca", "path": "rows.jsonl"})
    assert run(*CALL) == 0
    assert "HF_HUB_OFFLINE" not in os.environ
