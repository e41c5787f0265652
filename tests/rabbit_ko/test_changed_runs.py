"""A model that is not what its run wrote is neither used nor pushed; who may not read or write is told so."""

import codecs
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from axolotl_plugins.checks.base_model import merged_is_current
from tests.rabbit_ko.evaluation.rabbit import rabbit
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.finished_runs import BASE, COMMANDS, MERGED, SFT, forget_files, run

pytestmark = pytest.mark.hostile


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


@pytest.mark.parametrize("changed", CHANGES)
def test_a_model_that_is_not_what_its_run_wrote_is_neither_used_nor_pushed(restored: Path, changed: str) -> None:
    apply, said = CHANGES[changed]
    apply()
    for command in ("chat", "eval", "judge", "card", "push-model", "dpo"):
        ran = run(command)
        assert (ran.exit_code, said in ran.stderr) == (1, True), (command, ran.output)
    status = " ".join(run("status").stdout.split())
    assert f"sft changed: runs/mine/sft/{Path(said.split(':')[0]).name}" in status
    shutil.rmtree(MERGED)
    ran = run("merge")
    assert (ran.exit_code, said in ran.stderr) == (1, True), ran.output


@pytest.mark.parametrize("changed", CHANGES)
def test_a_finished_model_whose_files_were_changed_is_trained_over_only_where_that_is_asked_for(
    restored: Path, changed: str
) -> None:
    apply, said = CHANGES[changed]
    apply()
    for arguments, reached in (((), False), (("--fresh",), True)):
        ran = rabbit("sft", "--recipe", "mine", *arguments)
        assert (ran.exit_code, "error: reached\n" in ran.stderr) == (1, reached), ran.output
        assert reached or re.search(f"{said}.*train anew: `make sft RECIPE=mine FRESH=1`", ran.stderr), ran.output
    assert "next: undo what was changed" in run("status").stdout


def test_files_that_a_server_asks_for_may_be_added_to_a_finished_model(restored: Path) -> None:
    for name in ("generation_config.json", "preprocessor_config.json", "params.txt"):
        (SFT / name).write_text("{}")
    assert "up to date" in rabbit("sft", "--recipe", "mine").stdout
    assert run("card").exit_code == 0


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
    codecs.lookup("utf-32-le")  # Python finds it where that user may not look, and does not try again
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


@pytest.mark.parametrize("command", ["sft", "eval", "judge", "curves", "merge", "card", "results"])
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


# In the order in which a merge writes them.
WRITTEN = (
    *("config.json", "generation_config.json", "model.safetensors", "chat_template.jinja"),
    *("tokenizer_config.json", "tokenizer.json"),
)


@pytest.mark.parametrize("is_half", [True, False], ids=["half", "complete"])
@pytest.mark.parametrize("last", range(len(WRITTEN)))
def test_a_merge_that_was_killed_after_any_file_is_not_taken_for_finished(
    restored: Path, last: int, is_half: bool
) -> None:
    for name in WRITTEN[last + 1 :]:
        (MERGED / name).unlink()
    (MERGED / "checksums.json").unlink()
    content = (MERGED / WRITTEN[last]).read_bytes()
    (MERGED / WRITTEN[last]).write_bytes(content[: len(content) // 2] if is_half else content)
    assert merged_is_current(SFT) == (WRITTEN[last] == WRITTEN[-1] and not is_half)
    if not merged_is_current(SFT):
        assert run("merge").stderr == "error: reached\n"
        assert not MERGED.exists()


@pytest.mark.parametrize("option", ["--model-args", "--model_args", "--trust-remote-code"])
def test_no_option_hands_code_of_others_to_the_harness(finished: Path, option: str) -> None:
    ran = rabbit("eval", "--recipe", "mine", option, "trust_remote_code=True")
    assert (ran.exit_code, "No such option" in ran.stderr) == (2, True)


def test_an_adapter_that_names_code_is_not_chatted_with_though_its_own_record_trusts_it(restored: Path) -> None:
    forget_files("sft")
    record = json.loads((SFT / "run.json").read_text())
    record["config"] |= {"guard_trust_remote_code": True, "trust_remote_code": True}
    (SFT / "run.json").write_text(json.dumps(record))
    (SFT / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["tokenizing.Evil", null]}}')
    (SFT / "tokenizing.py").write_text("raise SystemExit('run')")
    for command in ("chat", "eval", "judge", "card", "push-model"):
        assert "tokenizer_config.json: auto_map: names code that would run as you" in run(command).stderr
