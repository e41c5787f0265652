"""Duplicates: planted copies are found, rows merely alike are not, and each dropped row names what it copies."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build
from dataset_builders.recipe import load_config
from tests.dataset_builders.corpora import exchanges, with_words_replaced
from tests.dataset_builders.files import build_rows, read_rows, write_config, write_jsonl

NEAR: dict[str, Any] = {"action": "off", "near_duplicates": {"action": "reject"}}
EXACT: dict[str, Any] = {"action": "off", "exact_duplicates": {"action": "reject"}}


def letters(row: Any) -> str:
    """The letters of a row's question and answer, as the gate sees them."""
    texts = (row["instruction"], row["output"])
    return "\n".join("".join(letter for letter in text if letter.isalnum()) for text in texts)


def jaccard(left: Any, right: Any) -> float:
    """How much two rows' sets of 5-grams of letters overlap."""
    sets = []
    for row in (left, right):
        text = letters(row).replace("\n", "")
        sets.append({text[start : start + 5] for start in range(len(text) - 4)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def with_ids(rows: list[Any]) -> list[Any]:
    return [{**row, "id": str(number)} for number, row in enumerate(rows)]


def test_rows_that_say_the_same_under_other_ids_are_dropped_across_sources(tmp_path: Path) -> None:
    rows = exchanges(20)
    write_jsonl(tmp_path / "a.jsonl", with_ids([*rows, *exchanges(1, seed=9)]))
    write_jsonl(tmp_path / "b.jsonl", with_ids(rows[::-1]))
    entries = [{"source": "alpaca", "name": name, "path": str(tmp_path / f"{name}.jsonl")} for name in ("b", "a")]
    config = load_config(write_config(tmp_path / "data.yaml", *entries, quality=EXACT))
    first, second = build(config, tmp_path / "data").sources
    assert (first.kept, first.rejected) == (20, {}), "the source that stands first keeps its rows"
    assert (second.kept, second.rejected) == (1, {"exact duplicate": 20})
    kept = {row["id"]: row["messages"] for row in read_rows(tmp_path / "data", "sft")}
    dropped = read_rows(tmp_path / "data", "rejected")
    assert {row["evidence"] for row in dropped} < kept.keys()
    assert {row["row"] for row in dropped} == {""}, "they say what the kept rows do"


def test_measured_recall_and_false_positives_on_planted_copies(tmp_path: Path) -> None:
    rng = random.Random(1)
    originals = exchanges(1_500, seed=1, words=60)
    copies = [
        {**row, "output": with_words_replaced(row["output"], share, rng)}
        for row, share in zip(originals, [0.02, 0.05, 0.08, 0.12, 0.2, 0.4] * 250, strict=True)
    ]
    alike = [jaccard(row, copy) for row, copy in zip(originals, copies, strict=True)]
    rows = [
        {**row, "id": f"{side}{n}"} for side, some in (("a", originals), ("b", copies)) for n, row in enumerate(some)
    ]
    build_rows(tmp_path, "alpaca", rows, quality=NEAR, test_size=0.0)
    pairs = {}
    for row in read_rows(tmp_path / "data", "rejected"):
        assert row["reason"] == "near duplicate"
        pairs[row["id"].removeprefix("alpaca/")] = row["evidence"].split()[0].removeprefix("alpaca/")
    assert all(one[1:] == other[1:] and one[0] != other[0] for one, other in pairs.items()), "each names its original"
    found = {int(name[1:]) for name in pairs}
    clear = [n for n, share in enumerate(alike) if share >= 0.85]
    unlike = [n for n, share in enumerate(alike) if share < 0.75]
    recall = sum(n in found for n in clear) / len(clear)
    above = [n for n, share in enumerate(alike) if share >= 0.8]
    false = sum(n in found for n in unlike)
    print(
        f"\nrecall {sum(n in found for n in above) / len(above):.3f} of {len(above)} pairs alike by 0.8 or more, "
        f"{recall:.3f} of {len(clear)} by 0.85 or more; {false} of {len(unlike)} below 0.75 dropped"
    )
    assert min(len(clear), len(unlike)) > 200
    assert recall > 0.98
    assert false <= 0.02 * len(unlike)


@pytest.mark.parametrize("quality", [EXACT, NEAR])
def test_what_is_over_max_samples_pushes_out_no_copy_in_another_source(tmp_path: Path, quality: Any) -> None:
    rows = exchanges(60)
    entries: list[dict[str, Any]] = [
        {"source": "alpaca", "name": name, "path": str(write_jsonl(tmp_path / f"{name}.jsonl", with_ids(rows)))}
        for name in ("a", "b")
    ]
    entries[0]["max_samples"] = 10
    config = load_config(write_config(tmp_path / "data.yaml", *entries, quality=quality))
    first, second = build(config, tmp_path / "data").sources
    assert (first.kept, second.kept) == (10, 50)
    kept = {row["id"] for row in read_rows(tmp_path / "data", "sft")}
    copies = [row for row in read_rows(tmp_path / "data", "rejected") if row["reason"].endswith("duplicate")]
    assert len(copies) == 10
    assert all(row["evidence"].split()[0] in kept for row in copies)


def test_a_chain_of_copies_keeps_rows_that_copy_no_kept_row(tmp_path: Path) -> None:
    rng = random.Random(2)
    chain = exchanges(1, seed=2, words=80)
    for _ in range(12):
        chain.append({**chain[0], "output": with_words_replaced(chain[-1]["output"], 0.04, rng)})
    build_rows(tmp_path, "alpaca", with_ids(chain), quality=NEAR, test_size=0.0)
    kept = [int(row["id"].removeprefix("alpaca/")) for row in read_rows(tmp_path / "data", "sft")]
    assert 1 < len(kept) < len(chain)
    for row in read_rows(tmp_path / "data", "rejected"):
        kept_row, number = (int(name.split("/")[1].split()[0]) for name in (row["evidence"], row["id"]))
        assert kept_row in kept
        assert jaccard(chain[kept_row], chain[number]) > 0.7
    assert all(jaccard(chain[a], chain[b]) < 0.9 for a, b in pairwise(sorted(kept)))


def test_rows_that_are_too_short_to_compare_are_no_copies(tmp_path: Path) -> None:
    rows = [{"instruction": "ㅎ?", "output": answer} for answer in ("네", "응", "음")]
    [report] = build_rows(tmp_path, "koalpaca", rows, quality=NEAR).sources
    assert report.kept == 3


def test_a_system_message_in_common_makes_no_copies(tmp_path: Path) -> None:
    system = " ".join(row["output"] for row in exchanges(5, seed=5))
    rows = [{"id": str(n), "input": system, **row} for n, row in enumerate(exchanges(10, words=5))]
    [report] = build_rows(tmp_path, "openorca_ko", rows, quality=NEAR).sources
    assert report.kept == 10


@pytest.mark.parametrize(("quality", "reason"), [(EXACT, "exact_duplicates"), (NEAR, "near_duplicates")])
def test_duplicates_are_only_counted_where_that_is_asked(tmp_path: Path, quality: Any, reason: str) -> None:
    rows = [{**row, "id": str(n)} for n, row in enumerate(exchanges(10) * 2)]
    [report] = build_rows(tmp_path, "alpaca", rows, quality={**quality, reason: {"action": "report"}}).sources
    assert (report.kept, report.rejected) == (20, {})
    assert report.reported == {reason.removesuffix("s").replace("_", " "): 10}
