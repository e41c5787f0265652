"""The smoke recipe makes pairs of its own answers and goes two rounds, offline and without a judge."""

import re
from pathlib import Path

import pytest

from rabbit_ko.documents import read_record
from rabbit_ko.pairs.output import PairsRecord
from rabbit_ko.pairs.pairing import PAIR
from rabbit_ko.run_record import read_run
from tests.conftest import run

pytestmark = pytest.mark.slow
FOLDER = Path("data/pairs/smoke/sft")


def test_smoke_makes_pairs_of_its_own_answers(started: Path) -> None:
    said = run(started, "make", "pairs").stdout
    assert re.match(r"64 prompts: .*\d+ pair.*\n256 answers: .*\d+ ended", said)
    assert said.endswith(f"{FOLDER}: made\n")
    record = read_record(PairsRecord, started / FOLDER / "pairs.json")
    assert record.judge == "ends + hangul + within"
    assert sum(record.outcomes.values()) == record.prompts == 64
    assert record.outcomes[PAIR] >= 1
    assert run(started, "make", "pairs").stdout == f"{FOLDER}: up to date\n"
    assert "all as built" in run(started, ".venv/bin/rabbit", "verify", str(FOLDER)).stdout


def test_smoke_goes_two_rounds_as_it_is(started: Path) -> None:
    said = run(started, "make", "pairs", "ROUNDS=2").stdout
    assert "warmup" not in said
    for stage, parent in (("dpo-1", "sft"), ("dpo-2", "dpo-1")):
        made = read_record(PairsRecord, started / "data/pairs/smoke" / parent / "pairs.json")
        assert made.prompts == 64
        assert made.outcomes[PAIR] >= 1
        config = read_run(started / "runs/smoke" / stage).config
        assert config["base_model"] == f"runs/smoke/{parent}/merged"
