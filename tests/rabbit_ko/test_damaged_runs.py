"""Whatever has become of a file of a finished run, each command that reads it ends right, or with one line."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.errors import UserError
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.finished_runs import CONFIGS, RESULTS, damaged, damages, forget_files, make_finished

pytestmark = pytest.mark.hostile

JUDGE = ("--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "judge", "--max-new-tokens", "2")
COMMANDS = {
    "chat": ("--stage", "sft", "--prompt", "안녕?", "--max-new-tokens", "1"),
    "eval": ("--stage", "sft"),
    "logickor": ("--stage", "sft", *JUDGE),
    "curves": (),
    "status": (),
    "merge": ("--stage", "sft"),
    "dpo": (),
    "push-model": ("--stage", "sft", "--repo", "org/name", "--format", "merged"),
    "card": ("--stage", "sft"),
    "results": (),
    "inspect": (),
    "plan": ("--rows", "100"),
}
SFT, MERGED, BASE = MODELS["sft"], MODELS["sft"] / "merged", MODELS["base"]
LOADS = ("chat", "eval", "logickor", "card")
# Which commands read a file, and of those which must refuse it, whatever it has become.
READ = {
    SFT / "run.json": ("status", "merge", "dpo", "push-model", "results", *LOADS),
    **dict.fromkeys(
        (SFT / "adapter_model.safetensors", SFT / "adapter_config.json"), ("status", "merge", "push-model", *LOADS)
    ),
    **dict.fromkeys((SFT / "tokenizer.json", SFT / "tokenizer_config.json"), ("status", "push-model", *LOADS)),
    SFT / "chat_template.jinja": ("status", "chat", "push-model"),
    SFT / "trainer_state.json": ("curves", "status"),
    SFT / "checkpoint-1/checksums.json": ("curves", "status"),
    **dict.fromkeys(
        (MERGED / name for name in ("config.json", "model.safetensors", "tokenizer.json", "checksums.json")),
        ("status", "dpo", "push-model"),
    ),
    **dict.fromkeys(
        (BASE / name for name in ("config.json", "generation_config.json", "model.safetensors")),
        ("chat", "eval", "status", "merge", "inspect", "plan"),
    ),
    BASE / "tokenizer.json": ("inspect", "plan", "status"),
    RESULTS / "sft/kobest.json": ("results", "eval", "card"),
    RESULTS / "sft/kobest.samples.jsonl": ("results", "card"),
    RESULTS / "sft/logickor/default/answers.jsonl": ("logickor",),
    CONFIGS / "eval.yaml": ("eval", "logickor"),
}


class Reached(UserError):
    """The long part of a command begins: all that is read before it has been found to be right."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, smoke_tokenizer: PreTrainedTokenizerBase) -> Iterator[Path]:
    """A working directory with the finished runs; the long part of no command runs."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")

        def reach(*_: Any, **__: Any) -> None:
            raise Reached("reached")

        for place in (
            "rabbit_ko.evaluation.harness.evaluation._simple_evaluate",
            "rabbit_ko.evaluation.logickor.evaluation.judge_all",
            "rabbit_ko.training.run.run_logged",
            "rabbit_ko.hub.commit",
            "axolotl_plugins.checks.rows.tokenized_rows",
        ):
            monkeypatch.setattr(place, reach)
        monkeypatch.setattr("rabbit_ko.evaluation.logickor.evaluation.check_reachable", lambda _: None)
        monkeypatch.setattr("rabbit_ko.cli.train.data_status", lambda _: "up to date")
        for module in ("train", "look"):
            monkeypatch.setattr(f"rabbit_ko.cli.{module}.build_recipe", lambda _: None)
        make_finished(smoke_tokenizer)
        assert run("card").exit_code == 0
        yield folder


def run(command: str) -> Ran:
    """Run a command on the recipe."""
    return rabbit(command, "--recipe", "mine", *COMMANDS[command])


def wrong_end(ran: Ran) -> str:
    """Return what is wrong with the end of a command; empty where it is right."""
    errors = re.findall("^error: .*", ran.stderr, re.MULTILINE)
    if ran.exit_code == 0:
        return ""
    if ran.exit_code != 1 or len(errors) != 1 or "Traceback" in ran.stderr:
        return f"exit {ran.exit_code}: {ran.stderr[-300:]}"
    return ""


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_gets_to_its_long_part_where_nothing_is_damaged(finished: Path, command: str) -> None:
    ran = run(command)
    assert ran.exit_code == 0 or ran.stderr.endswith("error: reached\n"), ran.output


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "earlier"])
@pytest.mark.parametrize("file", READ, ids=str)
def test_a_damaged_file_ends_a_command_with_one_line(finished: Path, file: Path, recorded: bool) -> None:
    wrong = []
    record = (SFT / "run.json").read_bytes(), (MERGED / "checksums.json").read_bytes()
    if not recorded:
        forget_files("sft")
        if file.name == "checksums.json" and file.parent == MERGED:
            (MERGED / "checksums.json").write_bytes(record[1])
    try:
        for kind, content in damages(file.read_bytes()).items():
            for command in READ[file]:
                with damaged(file, content):
                    try:
                        ran = run(command)
                    except BaseException as error:
                        wrong.append(f"{file} {kind}, {command}: {error!r}"[:400])
                        continue
                    if said := wrong_end(ran):
                        wrong.append(f"{file} {kind}, {command}: {said}")
                    print(f"== {file} {kind}, {command}: {ran.exit_code} {ran.stderr[-250:]} {ran.stdout[-60:]}")
    finally:
        (SFT / "run.json").write_bytes(record[0])
        (MERGED / "checksums.json").write_bytes(record[1])
    assert not wrong, "\n".join(wrong)
