"""A prompt that is tested is in no train shard of its kind or a later one, whatever its answers and their sources."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dataset_builders.build import build
from dataset_builders.recipe import load_config
from rabbit_ko.methods import ROW_KINDS
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import OFF, file_contents, read_rows, write_config, write_jsonl

ROWS = exchanges(300)
WORSE = [f"모르겠습니다 {number}" for number in range(3)]
PAIRS = [
    {"prompt": row["instruction"], "chosen": row["output"], "rejected": worse} for row in ROWS for worse in WORSE
]
ANSWERS = [
    {"prompt": row["instruction"], "completion": answer, "label": answer not in WORSE}
    for row in ROWS
    for answer in (row["output"], *WORSE)
]
BY_SOURCE = {"alpaca": ROWS, "preference": PAIRS, "labelled": ANSWERS}


def built(folder: Path, by_source: dict[str, list[Any]], **fields: Any) -> Path:
    """Build `folder/data` from rows by source, the conversations with these fields of their entry."""
    entries = [
        {"source": name, "path": str(write_jsonl(folder / f"{name}.jsonl", rows))}
        | (fields if name == "alpaca" else {})
        for name, rows in by_source.items()
    ]
    config = write_config(folder / "data.yaml", *entries, quality=OFF, test_size=0.2)
    build(load_config(config), folder / "data")
    return folder / "data"


def sides(data: Path) -> dict[str, dict[str, str]]:
    """Return, by kind, the split of each question; all answers to it are in that one."""
    found: dict[str, dict[str, str]] = {kind: {} for kind in ROW_KINDS}
    for kind in ROW_KINDS:
        for file in (data / kind).glob("*.parquet"):
            split = file.name.partition("-")[0]
            for row in pq.read_table(file).to_pylist():
                asked = row.get("prompt") or row["messages"][:-1]
                assert found[kind].setdefault(asked[-1]["content"], split) == split
    return found


def test_all_answers_to_a_prompt_are_on_one_side_and_later_kinds_test_what_is_tested_before(tmp_path: Path) -> None:
    found = sides(built(tmp_path, BY_SOURCE))
    assert [len(found[kind]) for kind in ROW_KINDS] == [300] * 3
    assert found["dpo"] == found["kto"], "one run can train both"
    tested = {kind: {asked for asked, split in found[kind].items() if split == "test"} for kind in ROW_KINDS}
    assert tested["sft"] < tested["dpo"], "pairs of prompts that SFT trains can be tested, too"
    assert len(tested["sft"]) / 300 == pytest.approx(0.2, abs=0.07)
    free = found["dpo"].keys() - tested["sft"]
    assert len(tested["dpo"] & free) / len(free) == pytest.approx(0.2, abs=0.07)


def test_neither_order_nor_kinds_that_come_later_change_a_side(tmp_path: Path) -> None:
    first = file_contents(built(tmp_path / "first", BY_SOURCE))
    shuffled = {name: random.Random(1).sample(rows, len(rows)) for name, rows in reversed(BY_SOURCE.items())}
    assert {
        name: it for name, it in file_contents(built(tmp_path / "again", shuffled)).items() if "-of-" in name
    } == {name: it for name, it in first.items() if "-of-" in name}
    for count in (1, 2):
        fewer = built(tmp_path / str(count), dict(list(BY_SOURCE.items())[:count]))
        assert file_contents(fewer).items() - {("manifest.json", (fewer / "manifest.json").read_bytes())} <= {
            *first.items()
        }


def test_a_prompt_is_known_with_the_system_prompt_that_some_of_its_rows_got(tmp_path: Path) -> None:
    given = {"add_system_prompt": True, "probability": 0.5}
    conversations = read_rows(built(tmp_path / "sft", {"alpaca": ROWS}, **given), "sft")
    pairs = [
        {"prompt": row["messages"][:-1], "chosen": row["messages"][-1]["content"], "rejected": WORSE[0]}
        for row in conversations
    ]
    assert {len(pair["prompt"]) for pair in pairs} == {1, 2}
    found = sides(built(tmp_path, {"alpaca": ROWS, "preference": pairs}, **given))
    assert all(found["dpo"][asked] == "test" for asked, split in found["sft"].items() if split == "test")


def test_a_single_prompt_is_trained_however_many_answers_it_has(tmp_path: Path) -> None:
    found = sides(built(tmp_path, {"preference": PAIRS[:3]}))
    assert found["dpo"] == {ROWS[0]["instruction"]: "train"}
