"""The smoke recipe makes pairs of its own SFT model, offline and without a judge."""

import re
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest

from rabbit_ko.documents import read_record
from rabbit_ko.pairs.output import PairsRecord
from rabbit_ko.pairs.pairing import PAIR
from tests.conftest import run

pytestmark = pytest.mark.slow
FOLDER = Path("data/pairs/smoke/sft")


def test_smoke_makes_pairs_of_its_own_answers_in_well_under_two_minutes(started: Path) -> None:
    # Of the processor, since other tests share it.
    before = getrusage(RUSAGE_CHILDREN).ru_utime
    said = run(started, "make", "pairs").stdout
    assert getrusage(RUSAGE_CHILDREN).ru_utime - before < 60
    assert re.match(r"64 prompts: .*\d+ pair.*\n256 answers: .*\d+ ended", said)
    assert said.endswith(f"{FOLDER}: made\n")
    record = read_record(PairsRecord, started / FOLDER / "pairs.json")
    assert record.judge == "ends + hangul + within"
    assert sum(record.outcomes.values()) == record.prompts == 64
    assert record.outcomes[PAIR] >= 16
    assert run(started, "make", "pairs").stdout == f"{FOLDER}: up to date\n"
    assert "all as built" in run(started, ".venv/bin/rabbit", "verify", str(FOLDER)).stdout
