"""The READMEs' example row is rendered as the code renders it, and what they name is there."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builders.recipe import DataConfig
from dataset_builders.rows import Conversation, Row
from prompt_strategies.template import QIR, render_answer, render_prompt
from tests.conftest import ROOT, run, sample_rows
from tests.dataset_builders.hub_repos import WRITER
from tests.dataset_builders.hub_server import Hub

READMES = ["README.md", "README.ko.md"]


def block(readme: str, language: str) -> str:
    """The first code block in a language."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("readme", READMES)
def test_the_example_is_a_sample_row_and_its_rendered_text_with_the_mask(readme: str, smoke_rows: list[Row]) -> None:
    raw = json.loads(block(readme, "json"))
    assert raw in sample_rows("guanaco_ko")
    [messages] = [
        row.messages for row in smoke_rows if isinstance(row, Conversation) and row.id == f"guanaco_ko/{raw['id']}"
    ]

    lines = block(readme, "diff").splitlines()
    masked = [line[2:] for line in lines if not line.startswith("+")]
    trained = [line[2:] for line in lines if line.startswith("+")]
    assert "\n".join(masked) + "\n" == f"<|begin_of_text|>{render_prompt(QIR, messages[:-1])}"
    assert "\n".join(trained) == f"{render_answer(messages[-1])}<|end_of_text|>"


@pytest.mark.parametrize("readme", READMES)
def test_the_example_config_is_valid(readme: str) -> None:
    DataConfig.model_validate(yaml.safe_load(block(readme, "yaml")))


@pytest.mark.parametrize("readme", READMES)
def test_every_folder_of_the_tree_is_there(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    folders = re.findall(r"^(\w+)/\S*  ", text, re.MULTILINE)
    assert len(folders) == 7
    for folder in folders:
        assert (ROOT / folder).is_dir()


def commands(readme: str) -> list[str]:
    """The lines of every shell block, without what is said of them."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line.partition("  #")[0].strip() for line in lines]


def test_both_readmes_give_the_same_commands() -> None:
    english, korean = (commands(readme) for readme in READMES)
    assert english == korean
    assert len(english) > 10


@pytest.mark.slow
def test_every_command_of_the_readme_runs(project: Path, hub: Hub) -> None:
    login: dict[str, Any] = {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "NO_PROXY": "127.0.0.1"}
    for command in commands("README.md"):
        for feasible in feasible_commands(command):
            run(project, "bash", "-euc", feasible, **(login if "push-" in feasible else {}))
        if command.startswith("make report RECIPE=mine"):
            shutil.copytree(project / "data/mine", project / "data/before")


def feasible_commands(command: str) -> list[str]:
    """What of a command needs no GPU, no network, no judge and no typing of passwords.

    Of one that does, the help of each target, which refuses a variable that no command knows.
    """
    if command.startswith("make new "):
        return [command.replace("rabbit-ko-3b", "smoke"), "make data RECIPE=mine"]
    if command.endswith("hf auth login"):
        return [f"{command} --help"]
    if command.startswith("make setup"):
        return [command.replace("make", "make -n", 1)]
    if "RECIPE=aog-8b" in command or "RECIPE=rabbit-ko-3b" in command or "JUDGE_URL=" in command:
        words = shlex.split(command, comments=True)[1:]
        variables = " ".join(f"RABBIT_{shlex.quote(word)}" for word in words if "=" in word)
        return [f"env {variables} .venv/bin/rabbit {word} --help" for word in words if "=" not in word]
    return [command]
