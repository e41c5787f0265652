"""`rabbit doctor` says in ten lines what there is, and what is wrong with it."""

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rabbit_ko.cli import main
from rabbit_ko.training import machine
from rabbit_ko.training.machine import (
    GIB,
    Finding,
    check_axolotl,
    check_deepspeed,
    check_disk,
    check_driver,
    check_gpus,
    check_memory,
    check_python,
    examine,
    gpus,
)
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _metadata_of_this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    monkeypatch.setattr(machine, "requires", lambda _: [line for lines in extras.values() for line in lines])


@pytest.mark.parametrize(
    ("finding", "wrong"),
    [
        (check_python("3.11.9"), ""),
        (check_python("3.14.0"), "take 3.11 or 3.12"),
        (check_gpus([], None), ""),
        (check_gpus([("H100", 80 * GIB, 9)], "580.65"), ""),
        (check_gpus([("T4", 16 * GIB, 7)], "580.65"), "T4 has no bf16, which the recipes train in"),
        (check_disk(Path("runs"), 100 * GIB), ""),
        (check_disk(Path("runs"), GIB), "checkpoints and merged models take more than 8 GiB; free some"),
        (check_memory(10 * GIB, 16 * GIB), ""),
        (check_memory(GIB, 16 * GIB), "even the smoke recipe takes 2 GiB; end other processes"),
    ],
)
def test_what_is_wrong_is_said(finding: Finding, wrong: str) -> None:
    assert finding.wrong.startswith(wrong)
    assert bool(finding.wrong) == bool(wrong) == ("WRONG" in str(finding))


def test_versions_that_this_project_does_not_take_are_wrong() -> None:
    assert not check_deepspeed(None).wrong
    assert not check_deepspeed("0.19.8").wrong
    assert check_deepspeed("0.18.9").wrong.startswith("this project takes deepspeed<0.20,>=0.19.8")
    assert not check_axolotl("0.21.0").wrong
    assert check_axolotl("0.18.0").wrong.startswith("this project takes axolotl<0.22,>=0.19; `make setup`")
    assert check_axolotl(None).wrong == "`make setup` installs it"


def test_a_driver_that_is_too_old_for_torch_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl_plugins.checks.machine.why_no_gpu", lambda found: f"{found} is too old")
    assert check_driver("550.54").wrong == "550.54 is too old"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not check_driver("580.65").wrong
    assert not check_driver(None).wrong


def test_gpus_are_counted_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    seen = [SimpleNamespace(name=name, total_memory=80 * GIB, major=9) for name in ("H100", "H100", "H200")]
    monkeypatch.setattr(torch.cuda, "get_device_properties", seen.__getitem__)
    assert check_gpus(gpus(), "580.65").found == "2 x H100 with 80 GiB, 1 x H200 with 80 GiB"


def test_the_command_says_it_in_ten_lines_or_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = examine()
    assert [finding.name for finding in findings] == [
        *("Python", "axolotl", "torch", "driver", "GPUs", "attention", "DeepSpeed", "disk", "memory")
    ]
    monkeypatch.setattr(machine, "examine", lambda: findings)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(findings) <= 10
    assert ended.value.code == any(finding.wrong for finding in findings) == any("WRONG" in line for line in shown)
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    assert json.loads(capsys.readouterr().out) == [finding.to_json() for finding in findings]


def test_the_exit_code_tells_whether_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("", "too little"):
        monkeypatch.setattr(machine, "examine", lambda wrong=wrong: [Finding("disk", "1 GiB", wrong)])
        with pytest.raises(SystemExit) as ended:
            main(["doctor"])
        assert ended.value.code == bool(wrong)
