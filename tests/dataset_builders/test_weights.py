"""Answers that are context and never a target: their shards, and how they are read."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import load_dataset

from dataset_builders.build import build
from dataset_builders.recipe import load_config
from dataset_builders.schemas import SCHEMAS, schema_of
from dataset_builders.verify import verify
from prompt_strategies.messages import every_answer, last_answer
from tests.dataset_builders.files import OFF, build_rows, file_contents, read_rows, write_config, write_jsonl


def row(number: int, switch: dict[str, Any]) -> dict[str, Any]:
    """A conversation of two exchanges, with a switch at its first answer."""
    said = [f"{number} 첫 질문", f"{number} 첫 답", f"{number} 다음 질문", f"{number} 다음 답"]
    turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]
    return {"id": str(number), "messages": [turns[0], turns[1] | switch, *turns[2:]]}


PLAIN = [row(number, {}) for number in range(40)]
WEIGHTED = [row(number, {"weight": 0} if number == 11 else {"weight": 1}) for number in range(40)]


def test_shards_have_weights_only_where_a_row_of_theirs_has_one(tmp_path: Path) -> None:
    build_rows(tmp_path / "plain", "messages", PLAIN)
    build_rows(tmp_path / "ones", "messages", [row(number, {"weight": 1, "train": True}) for number in range(40)])
    shards = [file_contents(tmp_path / name / "data/sft") for name in ("plain", "ones")]
    assert shards[0] == shards[1]
    build_rows(tmp_path, "messages", WEIGHTED, rows_per_shard=9, test_size=0.2)
    schemas = [pq.read_schema(path) for path in (tmp_path / "data/sft").glob("*.parquet")]
    assert len(schemas) > 4
    assert all(schema == schema_of("sft", {"weight"}) != SCHEMAS["sft"] for schema in schemas), (
        "and then all of them have"
    )
    verify(str(tmp_path / "data"))
    loaded = load_dataset(str(tmp_path / "data/sft"), cache_dir=str(tmp_path / "cache"))
    assert {len(each) for part in loaded.values() for each in part["messages"]} == {4}


def test_a_weight_in_a_row_that_is_dropped_makes_no_column(tmp_path: Path) -> None:
    entry = {"max_samples": 20}
    for name, rows in (("plain", PLAIN), ("weighted", WEIGHTED)):
        build_rows(tmp_path / name, "messages", rows, entry)
    dropped = {row["id"] for row in read_rows(tmp_path / "weighted/data", "rejected")}
    assert "messages/11" in dropped
    assert file_contents(tmp_path / "plain/data/sft") == file_contents(tmp_path / "weighted/data/sft")


def test_rows_that_differ_in_what_is_trained_are_different_rows(tmp_path: Path) -> None:
    rows = [row(1, switch) for switch in ({}, {"weight": 0}, {"train": False}, {"weight": 1})]
    quality = {"action": "off", "exact_duplicates": {"action": "reject"}}
    [report] = build_rows(tmp_path, "messages", rows, quality=quality).sources
    assert (report.kept, report.rejected) == (2, {"duplicate id": 2})


def test_rows_without_an_id_that_differ_in_what_is_trained_have_two(tmp_path: Path) -> None:
    rows = [{"messages": row(1, switch)["messages"]} for switch in ({}, {"weight": 0}, {"weight": 1})]
    [report] = build_rows(tmp_path, "messages", rows).sources
    assert (report.kept, report.rejected) == (2, {"duplicate id": 1})


def test_the_order_of_rows_and_the_size_of_chunks_make_no_difference(tmp_path: Path, monkeypatch: Any) -> None:
    made = []
    for name, size in (("a", 8 << 20), ("b", 300)):
        monkeypatch.setattr("dataset_builders.read.inputs.CHUNK_BYTES", size)
        rows = [*WEIGHTED, row(3, {"weight": 0}), {**row(4, {"weight": 0}), "id": None}]
        rows = random.Random(name).sample(rows, len(rows))
        path = write_jsonl(tmp_path / name / "rows.jsonl", rows)
        config = write_config(tmp_path / name / "data.yaml", {"source": "messages", "path": str(path)}, quality=OFF)
        build(load_config(config), tmp_path / name / "data")
        made.append(file_contents(tmp_path / name / "data/sft"))
    assert made[0] == made[1]


def test_built_weights_survive_another_build_and_every_turn_skips_them(tmp_path: Path) -> None:
    build_rows(tmp_path, "messages", WEIGHTED, test_size=0.0)
    entry = {"source": "messages", "path": str(tmp_path / "data/sft")}
    build(load_config(write_config(tmp_path / "again.yaml", entry, quality=OFF, test_size=0.0)), tmp_path / "again")
    rows = {each["id"].rpartition("/")[2]: each["messages"] for each in read_rows(tmp_path / "again", "sft")}
    assert [message["weight"] for message in rows["11"]] == [None, 0, None, None]
    assert [len(target) for target in every_answer(rows["11"])] == [4]
    assert [len(target) for target in every_answer(rows["8"])] == [2, 4]
    assert [len(target) for target in last_answer(rows["11"])] == [4]


def test_texts_of_weighted_rows_are_cleaned_and_stay_context(tmp_path: Path) -> None:
    raw = row(7, {"weight": 0})
    raw["messages"][1]["content"] = "\u1112\u1161\u11ab\u1100\u1173\u11af 답"
    build_rows(tmp_path, "messages", [raw])
    [built] = read_rows(tmp_path / "data", "sft")
    assert built["messages"][1] == {"role": "assistant", "content": "한글 답", "weight": 0}
