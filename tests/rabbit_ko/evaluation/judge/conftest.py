"""A judge, a server with the model, and a recipe to evaluate."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rabbit_ko.evaluation.judge.benches import find_bench
from rabbit_ko.evaluation.judge.questions import Question, load_questions
from tests.conftest import ROOT
from tests.loopback import running
from tests.rabbit_ko.evaluation.judge.cli import FEW, SAMPLE_HUB, answer, sample_rows, write_questions
from tests.rabbit_ko.evaluation.judge_server import Judge


@pytest.fixture(autouse=True)
def _environment_without_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the keys, servers and proxies of this machine out, and leave its signals as they were."""
    for name in (
        "RABBIT_JUDGE_URL",
        "RABBIT_JUDGE_MODEL",
        "RABBIT_MODEL_URL",
        "RABBIT_MODEL_NAME",
        "RABBIT_HUB_DIR",
        "JUDGE_API_KEY",
        "MODEL_API_KEY",
        "OPENAI_API_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def judge() -> Iterator[Judge]:
    """A judge with readable verdicts."""
    with running(Judge()) as server:
        yield server


@pytest.fixture
def model() -> Iterator[Judge]:
    """A server that has the model."""
    with running(Judge(answer)) as server:
        yield server


@pytest.fixture
def recipe(in_tmp: Path) -> Path:
    """A working directory with the recipes, in which smoke's base is made, and with four of the questions."""
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    (in_tmp / "runs/smoke/base").mkdir(parents=True)
    (in_tmp / "runs/smoke/base/config.json").write_text("{}")
    write_questions(in_tmp / FEW, *sample_rows()[:4])
    return in_tmp


@pytest.fixture(scope="session")
def questions() -> list[Question]:
    """The questions written for this project."""
    return load_questions(find_bench("logickor", str(SAMPLE_HUB)))
