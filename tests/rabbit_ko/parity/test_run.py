"""What a comparison leaves is of what was compared: of the stage's own files, as they were, and of no others."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from rabbit_ko.cli.export import export
from rabbit_ko.cli.parity import parity
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.stages import Stage
from rabbit_ko.export import FORMATS
from rabbit_ko.parity import run
from rabbit_ko.parity.conversations import GOLDEN, Asked
from rabbit_ko.parity.report import read_records
from rabbit_ko.parity.run import Comparison, check_parity
from tests.rabbit_ko.evaluation.results.result_folder import MODELS
from tests.rabbit_ko.export.stages import MERGED, edit, stage_of

PARITY = MODELS["sft"] / "parity"


@pytest.fixture
def stage(
    tmp_path: Path, smoke_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A stage with an adapter and a merged model, which is asked one question."""
    asked = [Asked("a question", "golden", GOLDEN["a question"])]
    monkeypatch.setattr(run, "find_conversations", lambda *_: asked)
    with stage_of(tmp_path, smoke_tokenizer) as found:
        yield found


def compare(stage: Stage, against: object) -> None:
    """Compare a stage with something."""
    check_parity(stage, Comparison(str(against), rows=0, max_new_tokens=2))


def test_what_is_elsewhere_is_never_filed_as_the_stages_own_whatever_its_name(stage: Stage) -> None:
    foreign = Path("elsewhere/merged")
    shutil.copytree(MERGED, foreign)
    compare(stage, foreign)
    assert read_records(stage) == {}
    assert [file.relative_to(PARITY) for file in PARITY.rglob("*.json")] == [Path("elsewhere/merged.json")]
    compare(stage, "merged")
    assert [*read_records(stage)] == ["merged"]


def test_the_stages_own_files_have_the_same_record_by_their_path_as_by_their_format(stage: Stage) -> None:
    for against in (stage.model, MERGED, MERGED.absolute()):
        compare(stage, against)
    assert [*read_records(stage)] == ["adapter", "merged"]


def test_a_record_of_files_that_have_changed_since_is_not_read(stage: Stage) -> None:
    compare(stage, "adapter")
    compare(stage, "merged")
    assert set(read_records(stage)["merged"].files) >= {"merged/model.safetensors", "merged/tokenizer.json"}
    assert "adapter_model.safetensors" in read_records(stage)["adapter"].files
    kept = (MERGED / "tokenizer_config.json").read_bytes()
    edit(MERGED / "tokenizer_config.json", eos_token="?")
    assert [*read_records(stage)] == ["adapter"]
    (MERGED / "tokenizer_config.json").write_bytes(kept)
    assert [*read_records(stage)] == ["adapter", "merged"]


@pytest.mark.hostile
def test_a_record_that_cannot_be_written_or_would_be_elsewhere_is_refused_before_anything_is_computed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "find_outcomes", lambda *_: pytest.fail("it computes"))
    PARITY.write_text("")
    with pytest.raises(UserError, match=r"runs/mine/sft/parity: what is found cannot be written there: "):
        compare(stage, "merged")
    PARITY.unlink()
    Path("other").mkdir()
    PARITY.symlink_to(Path("other").absolute())
    with pytest.raises(UserError, match="runs/mine/sft/parity: a link that leads out of runs/mine/sft"):
        compare(stage, "merged")
    assert [*Path("other").iterdir()] == []


def test_each_format_is_in_the_help_of_the_commands_that_take_it() -> None:
    for told in (str(parity.__doc__), str(export.__doc__)):
        assert [name for name in FORMATS if name not in told] == []
