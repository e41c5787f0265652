"""The READMEs' example row is rendered as the code renders it, and what they name is there."""

import json
import re

import pytest
import yaml

from dataset_builders.config import DataConfig
from dataset_builders.rows import Conversation, Row
from prompt_strategies.template import QIR, render_answer, render_prompt
from tests.conftest import ROOT, sample_rows

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
    assert len(folders) == 8
    for folder in folders:
        assert (ROOT / folder).is_dir()
