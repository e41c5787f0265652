"""Rows with a label go the whole way that others go: split, shards, verify, diff, gates, duplicates."""

from pathlib import Path
from typing import Any

from datasets import load_dataset

from dataset_builders.build import build
from dataset_builders.manifest import fingerprint_of, read_manifest
from dataset_builders.recipe import load_config
from dataset_builders.verify import diff, verify
from rabbit_ko.publishing.dataset_card import render_card
from rabbit_ko.publishing.push_data import pushable
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import build_rows, file_contents, read_rows, write_config, write_jsonl

ROWS = [
    {"prompt": row["instruction"], "completion": row["output"], "label": number % 3 > 0}
    for number, row in enumerate(exchanges(60))
]


def test_labelled_rows_are_shards_that_load_as_they_stand(tmp_path: Path) -> None:
    [report] = build_rows(tmp_path, "labelled", ROWS, test_size=0.1, rows_per_shard=20).sources
    assert (report.stage, report.kept, report.rejected) == ("kto", 60, {})
    dataset = load_dataset(str(tmp_path / "data/kto"), cache_dir=str(tmp_path / "cache"))
    assert dataset["train"].column_names == ["id", "source", "prompt", "completion", "label"]
    rows = [*dataset["train"], *dataset["test"]]
    found = {(row["prompt"][0]["content"], row["completion"][0]["content"], row["label"]) for row in rows}
    assert found == {(row["prompt"], row["completion"], row["label"]) for row in ROWS}
    manifest = verify(str(tmp_path / "data"))
    assert {shard.file.split("/")[0] for shard in manifest.shards} == {"kto"}
    without = [shard for shard in manifest.shards if shard.file != manifest.shards[0].file]
    assert fingerprint_of(without) != manifest.fingerprint, "its shards count in the fingerprint"


def test_the_same_answer_with_another_label_is_another_row(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "id": number, "label": number % 2} for number in range(4)]
    rows += [{**ROWS[1], "id": 9, "label": label} for label in (True, False, True)]
    quality = {"action": "off", "exact_duplicates": {"action": "reject"}}
    [report] = build_rows(tmp_path, "labelled", rows, quality=quality).sources
    assert (report.kept, report.rejected) == (4, {"exact duplicate": 2, "duplicate id": 1})


def test_a_good_and_a_bad_answer_to_one_long_question_are_no_duplicates_and_two_good_ones_are(tmp_path: Path) -> None:
    long = " ".join(row["output"] for row in exchanges(12))
    answers = {"맞습니다.": True, "아닙니다.": False, "네, 맞습니다.": True}
    rows = [{"prompt": long, "completion": answer, "label": label} for answer, label in answers.items()]
    [report] = build_rows(
        tmp_path, "labelled", rows, quality={"repetition": {"action": "off"}}, test_size=0.0
    ).sources
    assert report.rejected == {"near duplicate": 1}
    assert {row["label"] for row in read_rows(tmp_path / "data", "kto")} == {True, False}


def test_shares_and_weights_mix_labelled_rows_as_others(tmp_path: Path) -> None:
    entries = [
        {"source": "labelled", "name": name, "path": str(write_jsonl(tmp_path / f"{name}.jsonl", rows)), **fields}
        for name, rows, fields in (("a", ROWS[:20], {"weight": 1.5}), ("b", ROWS[20:], {"share": 0.25}))
    ]
    config = write_config(tmp_path / "data.yaml", *entries, quality={"action": "off"}, test_size=0.0)
    manifest = build(load_config(config), tmp_path / "data")
    assert [source.train_rows for source in manifest.sources] == [30, 10]
    assert len(read_rows(tmp_path / "data", "kto")) == 40
    verify(str(tmp_path / "data"))


def test_a_labelled_row_that_a_gate_drops_is_kept_with_its_label(tmp_path: Path) -> None:
    quality = {"action": "off", "length": {"action": "reject", "max": 5_000}}
    rows = [{**ROWS[0], "prompt": "너무 긴 질문" * 999, "label": label} for label in (True, False)] + ROWS
    build_rows(tmp_path, "labelled", rows, quality=quality)
    texts = [row["row"] for row in read_rows(tmp_path / "data", "rejected")]
    assert sorted("true" in text for text in texts) == [False, True]
    assert all('"completion": [' in text and '"label": ' in text for text in texts)


def test_gates_look_at_labelled_rows_but_not_at_the_manner_of_bad_answers(tmp_path: Path) -> None:
    endless = "ㅋ" * 80
    rows: list[dict[str, Any]] = [*ROWS[:5], {**ROWS[5], "completion": endless, "label": True}]
    rows += [{**ROWS[6], "completion": endless, "label": False}, {**ROWS[7], "prompt": "why?", "completion": "so!"}]
    [report] = build_rows(tmp_path, "labelled", rows, quality={}).sources
    assert report.rejected == {"repetition": 1, "too little Hangul": 1}


def test_a_system_prompt_is_added_and_a_change_of_label_is_a_difference(tmp_path: Path) -> None:
    entry = {"add_system_prompt": True}
    build_rows(tmp_path / "a", "labelled", [{"id": 1, **row} for row in ROWS[:1]], entry)
    [row] = read_rows(tmp_path / "a/data", "kto")
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    build_rows(tmp_path / "b", "labelled", [{"id": 1, **row, "label": not row["label"]} for row in ROWS[:1]], entry)
    assert diff(str(tmp_path / "a/data"), str(tmp_path / "b/data")) == {"says something else": ["labelled/1"]}


def test_shards_of_three_kinds_stand_beside_each_other_and_can_be_read_again(tmp_path: Path) -> None:
    pairs = [{"prompt": row["prompt"], "chosen": row["completion"], "rejected": "몰라요."} for row in ROWS]
    files = {"labelled": ROWS, "alpaca": exchanges(20, seed=4), "preference": pairs}
    entries = [
        {"source": source, "path": str(write_jsonl(tmp_path / f"{source}.jsonl", rows)), "license": "MIT"}
        for source, rows in files.items()
    ]
    config = write_config(tmp_path / "data.yaml", *entries, quality={"action": "off"})
    build(load_config(config), tmp_path / "data")
    assert [source.stage for source in read_manifest(str(tmp_path / "data")).sources] == ["kto", "sft", "dpo"]
    kinds = {"labelled": "kto", "messages": "sft", "preference": "dpo"}
    again = [{"source": source, "path": str(tmp_path / "data" / kind)} for source, kind in kinds.items()]
    config = write_config(tmp_path / "again.yaml", *again, quality={"action": "off"})
    manifest = build(load_config(config), tmp_path / "again")
    assert [source.kept for source in manifest.sources] == [60, 20, 60]
    assert {name.split("/")[0] for name in file_contents(tmp_path / "again")} == {
        "kto",
        "sft",
        "dpo",
        "manifest.json",
    }


def test_labelled_rows_can_be_pushed_with_a_card_that_says_what_they_are(tmp_path: Path) -> None:
    build_rows(tmp_path, "labelled", ROWS, {"license": "Apache-2.0"}, test_size=0.1)
    manifest = pushable(tmp_path / "data")
    assert len(manifest.shards) == 2
    card = render_card(manifest, tmp_path / "data", "org/name")
    assert "path: kto/train-*.parquet" in card
    assert "- source: labelled" in card
    assert "`label` is true for a good one" in card
    assert "`label`은 좋은 답변이면 true입니다" in card
