"""Two rounds for real: pairs of the SFT model's answers, DPO on them, pairs of that model's answers, DPO again."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import run
from tests.rabbit_ko.pairs.measure_planted_rule import held_out, measure, plant

pytestmark = pytest.mark.slow

STAGES = ("sft", "dpo-1", "dpo-2")


@pytest.fixture(scope="module")
def trained(started: Path) -> Path:
    """A project in which `make pairs ROUNDS=2` has run, with a planted rule as judge."""
    plant(started)
    run(started, "make", "pairs", "ROUNDS=2")
    return started


def run_file(project: Path, stage: str) -> Any:
    """A stage's `run.json`."""
    return json.loads((project / "runs/smoke" / stage / "run.json").read_text())


def test_each_round_starts_from_the_one_before_and_reads_the_pairs_of_its_answers(trained: Path) -> None:
    for before, stage in pairwise(STAGES):
        record = run_file(trained, stage)
        assert record["config"]["base_model"] == f"runs/smoke/{before}/merged"
        assert [entry["path"] for entry in record["datasets"]] == [f"data/pairs/smoke/{before}/dpo"]
        pairs = pq.read_table(trained / f"data/pairs/smoke/{before}/pairs.parquet").to_pylist()
        assert {pair["stage"] for pair in pairs} == {f"smoke/{before}"}
        assert record["rows"]["train"]["examples"] + record["rows"]["test"]["examples"] == len(pairs)


def test_what_is_done_is_not_done_again_and_status_says_so(trained: Path) -> None:
    again = run(trained, "make", "pairs", "ROUNDS=2").stdout.splitlines()
    assert again == [
        "data/pairs/smoke/sft: up to date",
        "runs/smoke/dpo-1: up to date",
        "data/pairs/smoke/dpo-1: up to date",
        "runs/smoke/dpo-2: up to date",
    ]
    states = dict(re.findall(r"^(\S+(?: STAGE=\S+)?) +(up to date)$", run(trained, "make", "status").stdout, re.M))
    assert {"data", "sft", "pairs STAGE=sft", "dpo-1", "pairs STAGE=dpo-1", "dpo-2"} <= states.keys()
    lacking = run(trained, "make", "pairs", "ROUNDS=3", returns=2).stderr
    assert "recipe smoke has no dpo-3.yaml; write it with `sed " in lacking


def test_the_advice_for_another_round_writes_a_yaml_that_is_one(trained: Path) -> None:
    stderr = run(trained, "make", "dpo-3", returns=2).stderr
    [command] = re.findall(r"write it with `(.*)`", stderr)
    run(trained, "sh", "-c", command)
    text = (trained / "axolotl_configs/smoke/dpo-3.yaml").read_text(encoding="utf-8")
    (trained / "axolotl_configs/smoke/dpo-3.yaml").unlink()
    assert set(re.findall(r"(?:runs|data/pairs)/smoke/[\w-]+", text)) == {
        "runs/smoke/dpo-2",
        "runs/smoke/dpo-3",
        "data/pairs/smoke/dpo-2",
    }


def test_the_report_the_results_and_the_card_are_of_the_round(trained: Path) -> None:
    run(trained, "make", "report", "WHAT=pairs", "STAGE=dpo-1")
    page = (trained / "data/pairs/smoke/dpo-1/report.html").read_text(encoding="utf-8")
    assert "<h1>smoke dpo-1: pairs of its own answers</h1>" in page
    for stage in STAGES[1:]:
        run(trained, "make", "eval", f"STAGE={stage}", "TASKS=kobest", "LIMIT=2")
    table = run(trained, "make", "results", "STAGES=dpo-1,dpo-2").stdout
    assert re.search(r"^ +dpo-1 +dpo-2$", table, re.MULTILINE)
    run(trained, "make", "card", "STAGE=dpo-2", "LANG=en")
    card = (trained / "runs/smoke/dpo-2/README.md").read_text(encoding="utf-8")
    assert "### DPO-2\n\nIt starts from the merged DPO-1 model.\n" in card
    assert card.count("| own_pairs | dpo | data/pairs/smoke/") == 2


def test_the_planted_rule_is_kept_more_often_after_each_round(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    prompts = held_out(Path("data/smoke"))
    sft, first, second = (measure(stage, prompts) for stage in STAGES)
    assert sft.answers > 500
    for before, after in ((sft, first), (first, second)):
        assert after.share - before.share > 3 * (before.stderr**2 + after.stderr**2) ** 0.5
