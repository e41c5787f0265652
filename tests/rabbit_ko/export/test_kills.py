"""An export that is killed or interrupted leaves no half file under a name, and the next one removes what it left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import gguf
from rabbit_ko.export._folder import RECORD
from tests.conftest import ROOT, environment
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.export.stages import stage_of

pytestmark = pytest.mark.slow
EXPORT = MODELS["sft"] / "export"


@pytest.fixture(scope="module")
def stage(smoke_tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage_of(tmp_path_factory.mktemp("killed"), smoke_tokenizer) as found:
        yield found


def stopped(by: signal.Signals) -> int:
    """Start an export, stop it when its folder is there, and return its exit code."""
    command = [sys.executable, "-m", "rabbit_ko.cli", "export", "--recipe", "mine", "--stage", "sft"]
    variables = environment(PYTHONPATH=str(ROOT))
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(EXPORT.glob("gguf/.f32-*/work-*/keys.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    if by is signal.SIGINT:  # a terminal sends Ctrl-C to the converter, too
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), by)
    process.send_signal(by)
    return process.wait(120)


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_export_leaves_nothing(stage: Stage, by: signal.Signals, code: int) -> None:
    assert stopped(by) == code
    assert list((EXPORT / "gguf").iterdir()) == []


def test_what_a_killed_export_has_left_is_no_export_and_is_removed_by_the_next(stage: Stage) -> None:
    assert stopped(signal.SIGKILL) == -signal.SIGKILL
    (left,) = (EXPORT / "gguf").iterdir()
    assert left.name.startswith(".f32-")
    gguf.make(stage, "q8_0", "")
    assert [file.name for file in (EXPORT / "gguf").iterdir()] == ["q8_0"]
    assert (EXPORT / "gguf" / "q8_0" / RECORD).exists()
