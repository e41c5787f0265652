"""What makes another run, and what does not."""

from pathlib import Path
from typing import Any

import pytest

from axolotl_plugins.resume.checkpoints import find_checkpoint, mark_complete
from axolotl_plugins.resume.identity import FREE, chat_template_fingerprint, dataset_fingerprints, run_identity
from rabbit_ko.errors import UserError
from tests.axolotl_plugins.test_run_file import config


@pytest.fixture
def run(in_tmp: Path) -> dict[str, Any]:
    """A config, and the data, the base and the DeepSpeed file that it names."""
    names = ("model.safetensors", "config.json", "tokenizer.json")
    for name in ("data/train.parquet", "zero2.json", *(f"base/{name}" for name in names)):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    return {"base_model": "base", "learning_rate": 0.1, "deepspeed": "zero2.json", "save_steps": 5}


def identity(run: dict[str, Any]) -> dict[str, str]:
    return run_identity(run, dataset_fingerprints(config(Path("data"))))


def changes(run: dict[str, Any], **options: Any) -> str:
    """What is said of a checkpoint of this run by a run with other options, or with files that have changed."""
    Path("checkpoint-1").mkdir(exist_ok=True)
    with pytest.raises(UserError) as error:
        find_checkpoint(Path(), identity({**run, **options}), print)
    return str(error.value).removeprefix("checkpoint-1 is of a run in which ")


@pytest.fixture
def complete(run: dict[str, Any]) -> dict[str, Any]:
    """The same, with a checkpoint."""
    Path("checkpoint-1").mkdir()
    mark_complete(Path("checkpoint-1"), identity(run), seconds=1)
    return run


def test_options_that_have_changed_are_named_with_both_values(complete: dict[str, Any]) -> None:
    assert changes(complete, learning_rate=0.2) == "learning_rate was 0.1, not 0.2"


def test_a_number_is_the_same_however_it_is_written(complete: dict[str, Any]) -> None:
    assert find_checkpoint(Path(), identity({**complete, "learning_rate": "1e-1"}), print)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("data/train.parquet", "data was another"),
        ("base/model.safetensors", "the base model was another"),
        ("base/tokenizer.json", "the tokenizer was another"),
        ("zero2.json", "zero2.json was another"),
    ],
)
def test_data_base_and_deepspeed_count_by_their_content(complete: dict[str, Any], file: str, expected: str) -> None:
    Path(file).write_text("changed")
    assert changes(complete) == expected


def test_another_number_of_processes_is_another_run(
    complete: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert changes(complete) == "processes was 1, not 2"


def test_options_that_decide_about_nothing_trained_may_change(complete: dict[str, Any]) -> None:
    others = dict.fromkeys([*FREE, "use_wandb", "wandb_project", "mlflow_tracking_uri", "use_tensorboard"], "changed")
    assert find_checkpoint(Path(), identity({**complete, **others}), print)


def test_only_a_file_and_the_base_are_read_for_the_chat_template(in_tmp: Path) -> None:
    native: dict[str, Any] = {"base_model": "base", "datasets": [{"type": "prompt_strategies.native"}]}
    Path("base").mkdir()
    for name in ("base/chat_template.jinja", "my.jinja"):
        Path(name).write_text(name)
    given = [{}, {"chat_template_jinja": "my.jinja"}]
    assert len({chat_template_fingerprint(native | some) for some in given} - {""}) == 2
    inline = "{% for message in messages %}" + "x" * 300
    for some in ({"chat_template_jinja": inline}, {"chat_template": "llama3"}):
        assert chat_template_fingerprint(native | some) == ""
