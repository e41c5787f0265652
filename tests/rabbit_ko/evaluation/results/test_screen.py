"""The results fit a terminal of 80 columns, whatever the stages, suites and judges are called."""

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from rabbit_ko.evaluation.records import Score
from rabbit_ko.evaluation.results.screen import as_text
from rabbit_ko.evaluation.results.table import make_table
from tests.rabbit_ko.evaluation.results.measured import make_stale, put_results
from tests.rabbit_ko.evaluation.results.result_folder import put_result

STAGES = ("base", "sft", "dpo", "dpo-1", "dpo-2", "simpo", "simpo-12")
LONG = "global_mmlu_full_ko_high_school_european_history"


def figures(suite: str, task: str, **settings: Any) -> None:
    """Put figures of a suite for every stage, as long as they get."""
    for stage in STAGES:
        scores = [
            Score(task=task, metric=metric, value=0.1234, low=0.1, high=0.9, items=6, missing=3)
            for metric in ("exact_match,flexible-extract", "acc")
        ]
        put_result(stage, suite, scores, notes=[f"{'프롬프트가 ' * 30}잘렸습니다"], **settings)


def lines_of(*stages: str) -> list[str]:
    """The lines of the results of stages."""
    return as_text(make_table("mine", stages)).splitlines()


@pytest.mark.parametrize("count", range(1, len(STAGES) + 1))
def test_any_number_of_stages_fits(recipe: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("tests.rabbit_ko.evaluation.results.result_folder.fingerprint", lambda _: "1")
    figures("kmmlu", LONG)
    figures(
        f"komt@{'Qwen-Qwen3-32B' * 6}", "한국어로 쓴 매우 길고 긴 범주의 이름", judge="Qwen/Qwen3-32B" * 6, scale=5
    )
    lines = lines_of(*STAGES[:count])
    assert max(map(cell_len, lines)) <= 80
    assert not [line for line in lines if line != line.rstrip()]
    heads = [line.split() for line in lines if line.startswith(" ") and line.strip().startswith(STAGES)]
    shown = [stage for head in heads for stage in head]
    assert {stage: shown.count(stage) for stage in STAGES[:count]} == dict.fromkeys(STAGES[:count], 2)
    assert "".join(lines).count("(3 missing)") == 4 * count


def test_columns_are_aligned_under_wide_letters(recipe: Path) -> None:
    put_results()
    make_stale()
    lines = as_text(make_table("mine")).splitlines()
    heads = [line for line in lines if line.startswith("  ") and line.split() == ["base", "sft", "dpo"]]
    ends = {head.index("base") + 4 for head in heads}
    judged = [line for line in lines if line.startswith(("추론 single", "글쓰기 single", "total single"))]
    assert len(judged) == 3
    assert {cell_len(line[: line.index(" - ") + 2]) for line in judged} == ends


def test_a_stage_without_results_takes_no_room(recipe: Path) -> None:
    put_result("sft", "haerae", [Score(task="haerae", metric="acc", value=0.5, items=8)])
    lines = lines_of("base", "sft", "dpo")
    assert lines[1].split() == ["sft"]
    assert lines[-1].startswith("- Not measured: kobest")


def test_a_task_is_named_without_its_suite(recipe: Path) -> None:
    scores = [Score(task=task, metric="acc", value=0.5, items=8) for task in ("haerae", "haerae_history")]
    put_result("sft", "haerae", scores)
    assert [line.split()[:-1] for line in lines_of("sft")[2:4]] == [["acc"], ["history", "acc"]]
