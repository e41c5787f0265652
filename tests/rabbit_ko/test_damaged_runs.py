"""Whatever has become of a file of a finished run, each command that reads it ends right, or with one line."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import PreTrainedTokenizerBase

from rabbit_ko.errors import UserError
from tests.rabbit_ko.evaluation.rabbit import Ran, rabbit
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.finished_runs import RESULTS, damaged, damages, forget_files, make_finished

pytestmark = pytest.mark.hostile

JUDGE = ("--judge-url", "http://127.0.0.1:9/v1", "--judge-model", "judge", "--max-new-tokens", "2")
COMMANDS = {
    "chat": ("--stage", "sft", "--prompt", "안녕?", "--max-new-tokens", "1"),
    "eval": ("--stage", "sft"),
    "logickor": ("--stage", "sft", *JUDGE),
    "curves": (),
    "status": (),
    "merge": ("--stage", "sft"),
    "sft": ("--args=--learning-rate=1e-3",),
    "dpo": (),
    "push-model": ("--stage", "sft", "--repo", "org/name", "--format", "merged"),
    "card": ("--stage", "sft"),
    "results": (),
    "inspect": (),
    "plan": ("--rows", "100"),
}
SFT, MERGED, BASE = MODELS["sft"], MODELS["sft"] / "merged", MODELS["base"]
LOADS = ("chat", "eval", "logickor")
# Which commands read a file, and of those which must refuse it, whatever it has become.
READ = {
    SFT / "run.json": ("status", "merge", "dpo", "push-model", "results", *LOADS),
    **dict.fromkeys(
        (SFT / "adapter_model.safetensors", SFT / "adapter_config.json"), ("status", "merge", "push-model", *LOADS)
    ),
    **dict.fromkeys((SFT / "tokenizer.json", SFT / "tokenizer_config.json"), ("status", "push-model", *LOADS)),
    SFT / "chat_template.jinja": ("status", "chat", "push-model"),
    SFT / "trainer_state.json": ("curves", "status"),
    SFT / "checkpoint-1/checksums.json": ("status",),
    **dict.fromkeys(
        (MERGED / name for name in ("config.json", "model.safetensors", "tokenizer.json", "checksums.json")),
        ("status", "dpo", "push-model"),
    ),
    **dict.fromkeys(
        (BASE / name for name in ("config.json", "generation_config.json", "model.safetensors")),
        ("chat", "eval", "status", "merge", "inspect", "plan"),
    ),
    BASE / "tokenizer.json": ("inspect", "plan", "status"),
    RESULTS / "sft/kobest.json": ("results", "eval"),
    RESULTS / "sft/kobest.samples.jsonl": ("results",),
    RESULTS / "sft/logickor/default/answers.jsonl": ("logickor",),
}


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
            "rabbit_ko.evaluation.logickor.evaluation.judge_all",
            "rabbit_ko.training.run.run_logged",
            "rabbit_ko.hub.commit",
            "axolotl_plugins.checks.rows.tokenized_rows",
        ):
            monkeypatch.setattr(place, reach)
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
        monkeypatch.setattr("rabbit_ko.evaluation.logickor.evaluation.check_reachable", lambda _: None)
        monkeypatch.setattr("rabbit_ko.cli.train.data_status", lambda _: "up to date")
        for module in ("train", "look"):
            monkeypatch.setattr(f"rabbit_ko.cli.{module}.build_recipe", lambda _: None)
        make_finished(smoke_tokenizer)
        assert run("card").exit_code == 0
        yield Path(folder)


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


@pytest.mark.parametrize("file", READ, ids=str)
def test_a_damaged_file_ends_a_command_with_one_line(finished: Path, file: Path) -> None:
    """Also where the run is one of an earlier version, whose record has no checksums."""
    wrong = [end for command in READ[file] for end in wrong_ends(file, command)]
    record = (SFT / "run.json").read_bytes(), (MERGED / "checksums.json").read_bytes()
    try:
        forget_files("sft")
        if file.exists() and file.is_relative_to("runs/mine/sft"):
            wrong += [f"earlier {end}" for command in READ[file] for end in wrong_ends(file, command)]
    finally:
        (SFT / "run.json").write_bytes(record[0])
        (MERGED / "checksums.json").write_bytes(record[1])
    assert not wrong, "\n".join(wrong)


def wrong_ends(file: Path, command: str) -> Iterator[str]:
    """Yield what is wrong with the ends of a command, by what has happened to a file."""
    for kind, content in damages(file.read_bytes()).items():
        with damaged(file, content):
            try:
                ran = run(command)
            except BaseException as error:
                yield f"{file} {kind}, {command}: {error!r}"[:400]
                continue
        print(f"{file} {kind}, {command}: {ran.exit_code} {ran.stderr[-250:]}")
        if said := wrong_end(ran):
            yield f"{file} {kind}, {command}: {said}"


def swap_adapter() -> None:
    """Put the DPO run's adapter in the place of SFT's."""
    shutil.copy(MODELS["dpo"] / "adapter_model.safetensors", SFT)


def change(file: Path) -> None:
    """Change one byte of a file, which stays what it was in every other way."""
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


CHANGES: dict[str, tuple[Callable[[], None], str]] = {
    "another stage's adapter": (swap_adapter, "sft/adapter_model.safetensors: is not what its run wrote"),
    "its tokenizer": (lambda: change(SFT / "tokenizer.json"), "tokenizer.json: "),
    "its chat template": (lambda: change(SFT / "chat_template.jinja"), "chat_template.jinja: is not what its run"),
    "a module beside it": (lambda: (SFT / "modeling.py").touch(), "sft/modeling.py: was not written by its run"),
}


@pytest.fixture
def restored(finished: Path) -> Iterator[Path]:
    """The finished runs, which are as they were after a test."""
    shutil.copytree("runs", "kept")
    yield finished
    shutil.rmtree("runs")
    shutil.move("kept", "runs")


@pytest.mark.parametrize("changed", CHANGES)
def test_a_model_that_is_not_what_its_run_wrote_is_neither_used_nor_pushed(restored: Path, changed: str) -> None:
    apply, said = CHANGES[changed]
    apply()
    for command in ("chat", "eval", "logickor", "card", "push-model", "dpo"):
        ran = run(command)
        assert (ran.exit_code, said in ran.stderr) == (1, True), (command, ran.output)
    status = " ".join(run("status").stdout.split())
    assert f"sft stale: runs/mine/sft/{Path(said.split(':')[0]).name}" in status
    shutil.rmtree(MERGED)
    ran = run("merge")
    assert (ran.exit_code, said in ran.stderr) == (1, True), ran.output


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"])
def test_a_merged_model_that_was_changed_is_merged_anew_and_not_pushed(restored: Path, name: str) -> None:
    change(MERGED / name)
    assert "merged: no merged model of this run; run `make merge" in run("push-model").stderr
    assert run("merge").stderr == "error: reached\n"
    assert not MERGED.exists()


def test_an_adapter_is_not_merged_into_another_base_than_it_was_trained_on(restored: Path) -> None:
    shutil.rmtree(MERGED)
    change(BASE / "model.safetensors")
    assert "runs/mine/base: is not the model that runs/mine/sft was trained on; put that back" in run("merge").stderr


def test_an_adapter_of_other_layers_is_named_where_its_run_has_no_checksums(restored: Path) -> None:
    forget_files("sft")
    with safe_open(SFT / "adapter_model.safetensors", "np") as weights:
        layers = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    save_file(
        {name.replace("q_proj", "x_proj"): layer for name, layer in layers.items()}, SFT / "adapter_model.safetensors"
    )
    for command in ("chat", "card"):
        assert "adapter_model.safetensors: is of another model: " in run(command).stderr


def test_no_template_of_the_folder_is_run(restored: Path) -> None:
    forget_files("sft")
    evil = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ raise_exception('run') }}"
    (SFT / "chat_template.jinja").write_text(evil)
    assert run("chat").exit_code == 0


@contextmanager
def as_another_user(folders: int, files: int) -> Iterator[None]:
    """Be a user who has these rights to the runs: root may do everything."""
    modes = {place: place.stat().st_mode for place in [Path("runs"), *Path("runs").rglob("*")]}
    user = os.geteuid()
    for place in sorted(modes, reverse=True):
        place.chmod(folders if place.is_dir() else files)
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)
        for place, mode in sorted(modes.items()):
            place.chmod(mode)


@pytest.mark.parametrize("command", ["sft", "eval", "logickor", "curves", "merge", "card", "results"])
def test_a_folder_that_may_only_be_read_is_named_by_what_writes(restored: Path, command: str) -> None:
    if command == "merge":
        shutil.rmtree(MERGED)
    run("results")  # matplotlib reads a folder of its own user where it is imported
    with as_another_user(0o555, 0o444):
        ran = run(command)
    named = re.findall(
        r"^error: \S*runs/mine/\S*: .*(?:Permission denied|this user may not write there)", ran.stderr, re.M
    )
    assert (ran.exit_code, len(named)) == (1, 1), ran.output


@pytest.mark.parametrize("command", ["chat", "status", "plan", "inspect", "dpo"])
def test_a_folder_that_may_only_be_read_is_read(restored: Path, command: str) -> None:
    with as_another_user(0o555, 0o444):
        ran = run(command)
    assert ran.exit_code == 0 or ran.stderr.endswith("error: reached\n"), ran.output


@pytest.mark.parametrize(("folders", "files"), [(0o755, 0), (0, 0o644)], ids=["files", "folders"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_may_not_be_read_is_named(restored: Path, command: str, folders: int, files: int) -> None:
    with as_another_user(folders, files):
        ran = run(command)
    named = re.findall(r"^error: .*runs/mine.*$", ran.stderr, re.MULTILINE)
    assert (ran.exit_code, len(named) in (1, 2 * (command == "curves"))) == (1, True), ran.output
    assert all("may not read" in line or "Permission denied" in line for line in named), ran.output
