"""The finished runs that tests damage, change and take rights to from."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.errors import UserError
from tests.rabbit_ko.finished_runs import make_finished, run


class Reached(UserError):
    """The long part of a command begins: all that is read before it has been found to be right."""


@pytest.fixture(scope="module")
def finished(smoke_tokenizer: PreTrainedTokenizerBase) -> Iterator[Path]:
    """A working directory with the finished runs, which others may read; the long part of no command runs."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        Path(folder).chmod(0o755)
        monkeypatch.chdir(folder)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "no-token")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")

        def reach(*_: Any, **__: Any) -> None:
            raise Reached("reached")

        for place in (
            "rabbit_ko.evaluation.harness.evaluation._simple_evaluate",
            "rabbit_ko.evaluation.judge.evaluation.ask_all",
            "rabbit_ko.training.run.run_logged",
            "rabbit_ko.export.gguf.run_converter",
            "rabbit_ko.hub.commit",
            "axolotl_plugins.checks.rows.tokenized_rows",
        ):
            monkeypatch.setattr(place, reach)
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
        monkeypatch.setattr("rabbit_ko.evaluation.judge.evaluation.check_reachable", lambda _: None)
        monkeypatch.setattr("rabbit_ko.cli.train.data_status", lambda _: "up to date")
        for module in ("train", "look"):
            monkeypatch.setattr(f"rabbit_ko.cli.{module}.build_recipe", lambda _: None)
        monkeypatch.setattr("rabbit_ko.publishing.examples.MAX_NEW_TOKENS", 1)
        make_finished(smoke_tokenizer)
        assert run("card").exit_code == 0
        yield Path(folder)


@pytest.fixture
def restored(finished: Path) -> Iterator[Path]:
    """The finished runs, which are as they were after a test."""
    shutil.copytree("runs", "kept")
    yield finished
    shutil.rmtree("runs")
    shutil.move("kept", "runs")
