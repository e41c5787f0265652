"""Sampling depends on the seed and the row's id, and on nothing else."""

import random
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.manifest import SourceSummary
from dataset_builders.sampling import PURPOSES, below, draw
from tests.dataset_builders.files import build_rows, read_rows

ROWS = [{"instruction": f"{number}번 질문입니다.", "output": f"{number}번 답입니다."} for number in range(5_000)]


def kept(folder: Path, rows: list[dict[str, str]], seed: int = 42, **entry: Any) -> tuple[list[Any], SourceSummary]:
    """Build rows in the order given; return what is kept."""
    [summary] = build_rows(folder, "koalpaca", rows, entry, seed=seed, test_size=0.0).sources
    return read_rows(folder / "data", "sft"), summary


def has_system(row: Any) -> bool:
    """Tell whether a row starts with a system message."""
    return bool(row["messages"][0]["role"] == "system")


def shuffled(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same rows in another order."""
    return random.Random(1).sample(rows, len(rows))


def by_id(rows: list[Any]) -> dict[str, Any]:
    """Rows by their ids."""
    return {row["id"]: row for row in rows}


def test_share_with_the_system_prompt_is_the_probability_and_the_same_rows_in_any_order(tmp_path: Path) -> None:
    options: dict[str, Any] = {"add_system_prompt": True, "probability": 0.8}
    rows, report = kept(tmp_path, ROWS, **options)
    again, _ = kept(tmp_path, shuffled(ROWS), **options)
    assert rows == again
    assert report.with_system_prompt == sum(map(has_system, rows))
    assert report.with_system_prompt / report.kept == pytest.approx(0.8, abs=0.02)


def test_only_rows_that_got_the_recipes_system_prompt_are_counted(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "instruction": "질문", "input": "짧게" * (n % 2), "output": f"{n}번 답"} for n in range(40)
    ]
    for given, expected in ((True, 20), (False, 0)):
        [report] = build_rows(tmp_path, "openorca_ko", rows, {"add_system_prompt": given}, test_size=0.0).sources
        kept_rows = read_rows(tmp_path / "data", "sft")
        assert (report.with_system_prompt, sum(map(has_system, kept_rows))) == (expected, 20 + expected)


def test_a_higher_probability_adds_rows_and_takes_none_away(tmp_path: Path) -> None:
    few, many = (
        {row["id"] for row in kept(tmp_path, ROWS, add_system_prompt=True, probability=share)[0] if has_system(row)}
        for share in (0.3, 0.6)
    )
    assert few < many


def test_fraction_keeps_its_share_and_max_samples_its_number_in_any_order(tmp_path: Path) -> None:
    rows, report = kept(tmp_path, ROWS, fraction=0.25, max_samples=1_000)
    again, _ = kept(tmp_path, shuffled(ROWS), fraction=0.25, max_samples=1_000)
    assert rows == again
    assert len(rows) == 1_000
    assert report.rejected["not sampled"] / 5_000 == pytest.approx(0.75, abs=0.02)
    assert report.read == report.kept + sum(report.rejected.values())


def test_max_samples_takes_the_rows_that_a_lower_number_takes_and_more(tmp_path: Path) -> None:
    few, many = (set(by_id(kept(tmp_path, ROWS, max_samples=count)[0])) for count in (100, 300))
    assert few < many


def test_what_sampling_drops_is_named_but_not_kept(tmp_path: Path) -> None:
    rows, report = kept(tmp_path, ROWS[:100], fraction=0.5, max_samples=20)
    dropped = read_rows(tmp_path / "data", "rejected")
    assert {row["reason"] for row in dropped} == {"not sampled", "over max_samples"} == report.rejected.keys()
    assert len(dropped) == 80
    assert not by_id(dropped).keys() & by_id(rows).keys()
    assert {row["row"] for row in dropped} == {""}


def test_split_is_by_id_in_any_order(tmp_path: Path) -> None:
    splits = []
    for rows in (ROWS, shuffled(ROWS)):
        [report] = build_rows(tmp_path, "koalpaca", rows, test_size=0.1).sources
        splits.append({path.name: path.read_bytes() for path in (tmp_path / "data/sft").iterdir()})
        assert sum(report.splits.values()) == 5_000
        assert report.splits["test"] / 5_000 == pytest.approx(0.1, abs=0.02)
    assert splits[0] == splits[1]


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_no_split_of_a_small_source_is_empty(tmp_path: Path, fraction: float) -> None:
    for count in range(2, 10):
        [report] = build_rows(tmp_path, "koalpaca", ROWS[:count], test_size=fraction).sources
        assert set(report.splits) == {"train", "test"}
    [report] = build_rows(tmp_path, "koalpaca", ROWS[:10], test_size=0.0).sources
    assert set(report.splits) == {"train"}


def test_the_seed_changes_the_sample(tmp_path: Path) -> None:
    one, two = (set(by_id(kept(tmp_path, ROWS, fraction=0.5, seed=seed)[0])) for seed in (1, 2))
    assert one != two


def test_draws_are_uniform_and_independent_of_each_other() -> None:
    drawn = draw(42, [f"row/{number}" for number in range(20_000)])
    halves = [below(draws, 0.5) for draws in drawn.values()]
    assert len(halves) == len(PURPOSES)
    for one, two in combinations(halves, 2):
        assert one.mean() == pytest.approx(0.5, abs=0.02)
        assert (one & two).mean() == pytest.approx(0.25, abs=0.02)
    assert below(drawn["test"], 1.0).all()
    assert not below(drawn["test"], 0.0).any()
