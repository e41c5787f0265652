"""The command's root: variables of make, errors in one line, exit codes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from rabbit_ko.cli import PREFIX, main
from rabbit_ko.cli.app import app
from rabbit_ko.errors import UserError

Result = tuple[int, str, str]


@pytest.fixture(autouse=True)
def _probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command of the test's own."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    registered = list(app.registered_commands)

    @app.command("probe")
    def probe(max_rows: int = 1, mode: str = "calm", fresh: bool = False) -> None:
        match mode:
            case "user":
                raise UserError("data.yaml: sources: what to do")
            case "disk":
                raise OSError(28, os.strerror(28), "runs/x")
            case "bug":
                raise RuntimeError("a bug")
            case "interrupt":
                raise KeyboardInterrupt
        typer.echo(f"{max_rows} {mode} {fresh}")

    yield
    app.registered_commands[:] = registered


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """Run the command; returns exit code, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def test_a_variable_of_make_is_the_option_of_its_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBIT_MAX_ROWS", "7")
    monkeypatch.setenv("RABBIT_FRESH", "1")
    assert called(capsys, "probe") == (0, "7 calm True\n", "")
    assert called(capsys, "probe", "--max-rows", "9") == (0, "9 calm True\n", "")


@pytest.mark.parametrize(("value", "expected"), [("0", "False"), ("", "False"), ("1", "True")])
def test_only_one_means_yes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("RABBIT_FRESH", value)
    assert called(capsys, "probe") == (0, f"1 calm {expected}\n", "")


def test_a_value_of_the_wrong_type_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBIT_MAX_ROWS", "many")
    code, _, errors = called(capsys, "probe")
    assert code == 2
    assert "--max-rows" in errors
    assert "many" in errors


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("MAX_ROW", "no command knows it; did you mean `MAX_ROWS`?"),
        ("PARALLEL", "is SHARDING now"),
        ("ENGINE", "is EXECUTOR now"),
        ("CARD", "is GPU now"),
        ("MERGED", "is FORMAT=merged now"),
    ],
)
def test_a_variable_that_no_command_knows_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, advice: str
) -> None:
    monkeypatch.setenv(f"RABBIT_{name}", "1")
    assert called(capsys, "probe") == (2, "", f"error: {name}: {advice}\n")


def test_a_variable_of_another_command_is_left_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBIT_SHARDING", "zero2")
    assert called(capsys, "probe")[0] == 0


@pytest.mark.parametrize(
    ("mode", "code", "line"),
    [
        ("user", 1, "error: data.yaml: sources: what to do"),
        ("disk", 1, "error: runs/x: No space left on device"),
        ("bug", 1, "error: RuntimeError: a bug; that is a fault of this project: add --debug to see where"),
        ("interrupt", 130, "error: interrupted; the same command resumes from here"),
    ],
)
def test_a_failure_is_one_line(capsys: pytest.CaptureFixture[str], mode: str, code: int, line: str) -> None:
    assert called(capsys, "probe", "--mode", mode) == (code, "", f"{line}\n")


def test_debug_shows_the_traceback_before_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_option = called(capsys, "probe", "--mode", "user", "--debug")
    monkeypatch.setenv("RABBIT_DEBUG", "1")
    by_variable = called(capsys, "probe", "--mode", "user")
    for code, _, said in (by_option, by_variable):
        assert code == 1
        assert said.startswith("Traceback")
        assert said.endswith("\nerror: data.yaml: sources: what to do\n")


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "sftt")[0] == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("status --recipe smok", "RECIPE=smok: there is no such recipe; did you mean `smoke`?"),
        ("status smok", "RECIPE=smok: there is no such recipe; did you mean `smoke`?"),
        ("plan --recipe smok", "RECIPE=smok: there is no such recipe; did you mean `smoke`?"),
        ("merge --stage sfft", "STAGE=sfft: there is no such stage; did you mean `sft`?"),
        ("inspect --stage ktoo", "STAGE=ktoo: recipe smoke has no such stage; did you mean `kto`?"),
        ("data look rows.jsonl --template native", "--template: `native` is that of a base's tokenizer, and a file"),
        ("data look rows.jsonl --template quir", "--template: unknown template `quir`; did you mean `qir`?"),
        ("chat --stage sfft", "STAGE=sfft: there is no such stage; did you mean `sft`?"),
        ("eval --stage base --tasks kobset", "TASKS=kobset: there is no task `kobset`; tasks: kobest"),
        ("sft --sharding zero9", "SHARDING=zero9: there is no such sharding; known are ddp, fsdp2"),
        ("sft --args lr=1", "ARGS: `lr` is no option; write `--key=value`"),
        ("push-model --repo org/x --format gguff", "FORMAT=gguff: there is no such format"),
    ],
)
def test_a_name_that_there_is_none_of_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], smoke_recipe: Path, call: str, said: str
) -> None:
    code, _, errors = called(capsys, *call.split())
    assert errors.splitlines()[-1].startswith(f"error: {said}")
    assert code == 2


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = called(capsys, "--help")
    assert code == 0
    for command in ("data", "sft", "dpo", "ipo", "merge", "status", "new", "all"):
        assert f" {command} " in shown
        assert called(capsys, command, "--help")[0] == 0


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys\nfrom rabbit_ko.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'pyarrow', 'numpy'} & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
