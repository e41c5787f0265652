"""The whole build: shards, manifest, what is published when, and what is left alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from dataset_builders.build import build, current
from dataset_builders.recipe import load_config
from dataset_builders.shards import WORK
from rabbit_ko.errors import UserError
from tests.conftest import ROOT, sample_rows
from tests.dataset_builders.files import OFF, build_rows, file_contents, read_rows, write_jsonl
from tests.dataset_builders.read.test_tables import workbook

ROWS = [{"instruction": f"{number}번 질문", "output": f"{number}번 답"} for number in range(50)]


def test_shards_are_named_as_on_the_hub_and_load_as_they_stand(tmp_path: Path) -> None:
    build_rows(tmp_path, "koalpaca", ROWS, test_size=0.1, rows_per_shard=20)
    folder = tmp_path / "data" / "sft"
    dataset = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert len(dataset["train"]) + len(dataset["test"]) == 50
    assert dataset["train"].column_names == ["id", "source", "messages"]
    count = -(-len(dataset["train"]) // 20)
    assert sorted(path.name for path in folder.glob("train*")) == [
        f"train-{number:05d}-of-{count:05d}.parquet" for number in range(count)
    ]
    first = dataset["train"][0]["messages"]
    assert [message["role"] for message in first] == ["user", "assistant"]


def test_every_row_of_the_smoke_data_is_kept_or_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    manifest = build(load_config(Path("axolotl_configs/smoke/data.yaml")), tmp_path / "smoke")
    for report in manifest.sources:
        assert report.read == report.kept + sum(report.rejected.values())
        assert report.kept == sum(report.splits.values())
    assert {report.name: report.rejected for report in manifest.sources if report.rejected} == {
        "guanaco_ko": {"no answer": 1, "empty turn": 1, "roles out of order": 1, "too little Hangul": 1},
        "ko_ultrafeedback": {"empty rejected": 1},
    }


def test_openorca_rows_are_unchanged_in_the_shards(tmp_path: Path) -> None:
    raw = {f"openorca_ko/{row['id']}": row for row in sample_rows("openorca_ko")}
    build_rows(tmp_path, "openorca_ko", raw.values())
    rows = read_rows(tmp_path / "data", "sft")
    assert {row["id"] for row in rows} == raw.keys()
    for row in rows:
        upstream = raw[row["id"]]
        contents = [upstream[field] for field in ("input", "instruction", "output")]
        assert [message["content"] for message in row["messages"]] == [
            content for content in contents if content.strip()
        ]


def test_rows_with_one_id_stay_where_they_differ_and_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "x.1", "instruction": "가", "input": "", "output": answer} for answer in ("나", "다", "라", "나")
    ]
    rows += [{"id": None, "instruction": "마", "input": "", "output": answer} for answer in ("바", "사", "바")]
    contents = []
    for folder, ordered in ((tmp_path / "a", rows), (tmp_path / "b", rows[::-1])):
        [report] = build_rows(folder, "openorca_ko", ordered).sources
        assert (report.kept, report.rejected) == (5, {"duplicate id": 2})
        contents.append({**file_contents(folder / "data/sft"), **file_contents(folder / "data/rejected")})
    assert contents[0] == contents[1]


def test_manifest_lists_counts_and_shards(tmp_path: Path) -> None:
    build_rows(tmp_path, "koalpaca", [*ROWS, ROWS[0], {"instruction": "답이 없다", "output": ""}])
    manifest = json.loads((tmp_path / "data/manifest.json").read_text())
    assert manifest["sources"][0]["read"] == 52
    assert manifest["sources"][0]["rejected"] == {"duplicate id": 1, "empty turn": 1}
    rows = dict.fromkeys(("sft", "rejected"), 0)
    for shard in manifest["shards"]:
        rows[shard["file"].split("/")[0]] += shard["rows"]
    assert rows == {"sft": 50, "rejected": 2}


def test_a_stage_that_did_not_change_keeps_its_files(tmp_path: Path) -> None:
    build_rows(tmp_path, "koalpaca", ROWS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.parquet")}
    build_rows(tmp_path, "koalpaca", ROWS)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    build_rows(tmp_path, "koalpaca", ROWS[1:])
    assert any(path.stat().st_mtime_ns != time for path, time in before.items())


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_the_data_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    build_rows(tmp_path, "koalpaca", ROWS)
    before = file_contents(tmp_path / "data")

    def fail(*_: Any, **__: Any) -> None:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr("dataset_builders.shards.pq.write_table", fail)
        with pytest.raises(type(failure)):
            build_rows(tmp_path, "koalpaca", ROWS[:10])
    assert file_contents(tmp_path / "data") == before
    build_rows(tmp_path, "koalpaca", ROWS[:10])
    assert len(read_rows(tmp_path / "data", "sft")) == 10
    assert not (tmp_path / "data" / WORK).exists()


def test_a_source_that_leaves_no_row_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="of 1 rows none is left; dropped: 1 empty turn"):
        build_rows(tmp_path, "koalpaca", [{"instruction": "가", "output": " "}])
    assert not list((tmp_path / "data").glob("[!.]*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "of 0 rows none is left; dropped: -; a.xlsx: is empty"),
        (
            workbook(cover=[["FAQ"], ["2026"]], 자료=[["instruction", "output"], ["가", "나"]]),
            "of 1 rows none is left; dropped: 1 no field `instruction`; name them with `columns:`; "
            "a.xlsx: sheet `cover` was read, and not `자료`",
        ),
    ],
)
def test_a_source_that_leaves_no_row_says_what_is_known_of_its_files(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(UserError, match=f"a.xlsx: {re.escape(said)}$"):
        build_rows(tmp_path, "koalpaca", [], {"path": str(tmp_path / "a.xlsx")})


@pytest.mark.parametrize("name", [".#a.jsonl", "x.txt"])
def test_a_link_to_nothing_that_is_no_data_ends_no_build(tmp_path: Path, name: str) -> None:
    write_jsonl(tmp_path / "f/a.jsonl", ROWS)
    (tmp_path / "f" / name).symlink_to("user@host.123:456")
    [report] = build_rows(tmp_path, "koalpaca", [], {"path": str(tmp_path / "f")}).sources
    assert (report.kept, report.notes) == (50, [] if name.startswith(".") else ["not read: x.txt"])


@pytest.mark.parametrize("name", ["sft/notes.txt", "dpo/trainer.py", "rejected/sub/x.pdf"])
def test_a_file_that_is_no_shard_is_not_lost(tmp_path: Path, name: str) -> None:
    stranger = tmp_path / "data" / name
    stranger.parent.mkdir(parents=True)
    stranger.write_text("mine")
    with pytest.raises(UserError, match=rf"{name}: no shard, and the build replaces this folder"):
        build_rows(tmp_path, "koalpaca", ROWS)
    assert stranger.read_text() == "mine"


def test_a_link_to_a_folder_is_replaced_and_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sft").symlink_to(tmp_path / "elsewhere")
    for rows in (ROWS, ROWS[1:]):
        build_rows(tmp_path, "koalpaca", rows)
    assert not (tmp_path / "data/sft").is_symlink()
    assert (tmp_path / "elsewhere").is_dir()


def test_what_was_built_is_current_until_its_content_changes(tmp_path: Path) -> None:
    manifest = build_rows(tmp_path, "koalpaca", ROWS)
    config, data, rows = load_config(tmp_path / "data.yaml"), tmp_path / "data", tmp_path / "rows.jsonl"
    assert current(config, data) == manifest
    rows.touch()
    assert current(config, data) == manifest, "a file's time says nothing"
    assert current(config.model_copy(update={"seed": 1}), data) is None
    content = rows.read_bytes()
    rows.write_bytes(content + content[-1:])
    assert current(config, data) is None
    rows.write_bytes(content)
    shard = next((data / "sft").glob("train*"))
    built = shard.read_bytes()
    for other in (built[:-1], built[:99] + bytes([built[99] ^ 1]) + built[100:]):
        shard.write_bytes(other)
        assert current(config, data) is None
    shard.write_bytes(built)
    (data / "sft/other.parquet").write_bytes(built)
    assert current(config, data) is None, "training would read it, too"
    (data / "sft/other.parquet").unlink()
    assert current(config, data) == manifest
    shard.unlink()
    assert current(config, data) is None
    shard.mkdir()
    assert current(config, data) is None
    build(config, data)
    assert current(config, data) == manifest
    rows.unlink()
    assert current(config, data) is None
    assert current(config, tmp_path / "none") is None


@pytest.mark.parametrize("changed", ["code", "versions"])
def test_data_that_other_code_or_packages_made_is_not_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    build_rows(tmp_path, "koalpaca", ROWS)
    monkeypatch.setattr(f"dataset_builders.fingerprint.{changed}", lambda: "other")
    assert current(load_config(tmp_path / "data.yaml"), tmp_path / "data") is None


def test_a_benchmark_that_changed_makes_data_stale(tmp_path: Path) -> None:
    exam = write_jsonl(tmp_path / "exam.jsonl", [{"question": "하나 둘 셋"}])
    quality = {"contamination": {"action": "reject", "benchmarks": [{"name": "exam", "path": str(exam)}]}, **OFF}
    manifest = build_rows(tmp_path, "koalpaca", ROWS, quality=quality)
    assert manifest.benchmarks["exam"].revision is None
    assert current(load_config(tmp_path / "data.yaml"), tmp_path / "data") == manifest
    write_jsonl(exam, [{"question": "하나 둘 넷"}])
    assert current(load_config(tmp_path / "data.yaml"), tmp_path / "data") is None
