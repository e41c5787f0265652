"""Each suite runs without the network on the project's own rows: on one model, in one process."""

import re
import subprocess
import sys
import weakref
from pathlib import Path

import nltk
import pytest

from rabbit_ko.evaluation.harness import evaluation as harness
from rabbit_ko.evaluation.harness.backends import load_model, released
from rabbit_ko.evaluation.harness.evaluation import Evaluation, evaluate
from rabbit_ko.evaluation.harness.suites import SUITES, Suite
from rabbit_ko.evaluation.records import read_answers, read_samples
from rabbit_ko.evaluation.stages import Stage
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.harness.tiny import MODEL, SAMPLES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_a_suite_runs_on_its_samples(tiny: Stage, suite: Suite, punkt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(punkt)])
    result = evaluate(Evaluation(tiny, limit=1, hub_dir=str(SAMPLES), batch_size="16"), suite, MODEL)
    assert result
    named = {score.task for score in result.scores}
    assert set(suite.shown or suite.tasks) <= named
    assert {score.metric for score in result.scores} == set(suite.metrics)
    assert all(score.value is not None and 0 <= score.value <= 1 for score in result.scores)
    assert not any("lost their beginning" in note for note in result.notes)

    answers, samples = list(read_answers(tiny.results, suite.name)), read_samples(tiny.results, suite.name)
    tasks = {task for score in result.scores for task in score.tasks or [score.task]}
    assert sorted(answer.task for answer in answers) == sorted(tasks)
    kept = {(sample.task, sample.item, sample.metric): sample.value for sample in samples}
    assert kept == {
        (answer.task, answer.item, metric): value for answer in answers for metric, value in answer.values.items()
    }
    for answer in answers:
        assert answer.target and "### Response:" in answer.prompt if suite.generates else answer.choices
        assert suite.generates or answer.target.strip() in [text.strip() for text, _ in answer.choices]


def test_the_tasks_are_indexed_once_and_the_model_is_loaded_once(tiny: Stage) -> None:
    for name in ("kobest", "haerae"):
        assert evaluate(Evaluation(tiny, limit=1, hub_dir=str(SAMPLES), batch_size="16"), SUITES[name], MODEL)
    assert harness._task_manager.cache_info().misses == 1
    assert load_model.cache_info().misses == 1


def test_a_model_is_let_go_when_its_stage_is_done(tiny: Stage) -> None:
    with released():
        lm = Evaluation(tiny, hub_dir=str(SAMPLES)).model_for(SUITES["kobest"])
        model = weakref.ref(lm.model)
        del lm
        assert model()
    assert model() is None
    assert load_model.cache_info().currsize == 0


def test_nothing_that_other_libraries_say_is_printed_or_logged_but_how_far_they_are(tiny: Stage) -> None:
    (tiny.results / "log.txt").unlink(missing_ok=True)
    options = ("--tasks", "kobest,gsm8k_ko", "--limit", "1", "--hub-dir", str(SAMPLES))
    command = (sys.executable, "-m", "rabbit_ko.cli", "eval", "--recipe", "mine", "--stage", "base", *options)
    result = subprocess.run(
        command, env=environment(PYTHONPATH=str(ROOT)), check=True, capture_output=True, text=True
    )
    log = tiny.results / "log.txt"
    first, *others = result.stderr.splitlines()
    assert first.endswith(f"its log is {log}")
    assert others == [SUITES[name].terms for name in ("kobest", "gsm8k_ko")]
    assert [
        line for line in log.read_text(encoding="utf-8").replace("\r", "\n").splitlines() if not is_bar(line)
    ] == []


def is_bar(line: str) -> bool:
    """Whether a line is one of tqdm's, or empty."""
    return not line.strip() or bool(re.search(r"\d+/\d+ \[|\d+ examples \[", line))
