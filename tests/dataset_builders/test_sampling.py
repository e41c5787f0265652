"""Sampling depends on the seed and the row's id, and on nothing else."""

import random
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import split_rows
from dataset_builders.config import DataConfig
from dataset_builders.convert import SourceReport, convert_source
from dataset_builders.rows import Row, has_system
from tests.dataset_builders.files import write_jsonl

ROWS = [{"instruction": f"{number}번 질문입니다.", "output": f"{number}번 답입니다."} for number in range(5_000)]


def convert(path: Path, rows: list[dict[str, str]], seed: int = 42, **options: Any) -> tuple[list[Row], SourceReport]:
    """Convert rows in the order given."""
    entry = {"source": "koalpaca", "path": str(write_jsonl(path / "rows.jsonl", rows)), **options}
    config = DataConfig.model_validate({"seed": seed, "sources": [entry]})
    kept, _, report = convert_source(config.sources[0], config, lambda: None)
    return kept, report


def shuffled(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same rows in another order."""
    return random.Random(1).sample(rows, len(rows))


def test_share_with_the_instruction_is_the_probability_and_the_same_rows_in_any_order(tmp_path: Path) -> None:
    options: dict[str, Any] = {"add_instruction": True, "probability": 0.8}
    rows, report = convert(tmp_path, ROWS, **options)
    again, _ = convert(tmp_path, shuffled(ROWS), **options)
    assert {row.id for row in rows if has_system(row)} == {row.id for row in again if has_system(row)}
    assert sorted(rows, key=lambda row: row.id) == sorted(again, key=lambda row: row.id)
    assert report.with_instruction == sum(map(has_system, rows))
    assert report.with_instruction / report.kept == pytest.approx(0.8, abs=0.02)


def test_a_higher_probability_adds_rows_and_takes_none_away(tmp_path: Path) -> None:
    few, many = (
        {row.id for row in convert(tmp_path, ROWS, add_instruction=True, probability=share)[0] if has_system(row)}
        for share in (0.3, 0.6)
    )
    assert few < many


def test_fraction_keeps_its_share_and_limit_its_number_in_any_order(tmp_path: Path) -> None:
    rows, report = convert(tmp_path, ROWS, fraction=0.25, limit=1_000)
    again, _ = convert(tmp_path, shuffled(ROWS), fraction=0.25, limit=1_000)
    assert {row.id for row in rows} == {row.id for row in again}
    assert len(rows) == 1_000
    assert report.rejected["beyond fraction"] / 5_000 == pytest.approx(0.75, abs=0.02)
    assert report.read == report.kept + sum(report.rejected.values())


def test_split_is_by_id_in_any_order(tmp_path: Path) -> None:
    rows, _ = convert(tmp_path, ROWS)
    parts = split_rows(rows, seed=42, test_fraction=0.1)
    assert len(parts["test"]) / 5_000 == pytest.approx(0.1, abs=0.02)
    assert sorted(row.id for part in parts.values() for row in part) == sorted(row.id for row in rows)
    assert split_rows(rows[::-1], seed=42, test_fraction=0.1) == parts


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_no_split_of_a_small_source_is_empty(tmp_path: Path, fraction: float) -> None:
    rows, _ = convert(tmp_path, ROWS[:10])
    for count in range(2, 10):
        assert set(split_rows(rows[:count], seed=42, test_fraction=fraction)) == {"train", "test"}
    assert set(split_rows(rows, seed=42, test_fraction=0)) == {"train"}


def test_the_seed_changes_the_sample(tmp_path: Path) -> None:
    one, two = ({row.id for row in convert(tmp_path, ROWS, fraction=0.5, seed=seed)[0]} for seed in (1, 2))
    assert one != two
