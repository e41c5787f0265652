"""A run resumes only from a complete checkpoint of its own."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from axolotl_plugins.callbacks import Checkpoints
from axolotl_plugins.resume.checkpoints import checkpoints, find_checkpoint, mark_complete, remove_all
from rabbit_ko.errors import UserError
from rabbit_ko.run_record import CHECKSUMS
from tests.rabbit_ko.finished_runs import damages

RUN = {"config.learning_rate": "0.001", "data/mine/sft": "abc", "the base model": "def"}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A run with two complete checkpoints."""
    for step in (9, 10):
        write(tmp_path, step)
    return tmp_path


def write(output: Path, step: int, is_complete: bool = True) -> Path:
    """Write a checkpoint as the trainer does."""
    folder = output / f"checkpoint-{step}"
    (folder / "global_step").mkdir(parents=True)
    for name in ("adapter_model.safetensors", "optimizer.pt", "global_step/shard.pt"):
        (folder / name).write_bytes(f"{name} {step}".encode())
    if is_complete:
        mark_complete(folder, RUN, seconds=step)
    return folder


def find(output: Path, **changes: str | None) -> tuple[Path | None, list[str]]:
    """The checkpoint to resume from, and what is said."""
    said: list[str] = []
    run = {name: value for name, value in {**RUN, **changes}.items() if value is not None}
    found = find_checkpoint(output, run, said.append)
    return found[0] if found else None, said


def test_the_last_step_counts_and_not_the_last_name(output: Path) -> None:
    assert find(output) == (output / "checkpoint-10", [])
    assert find_checkpoint(output, RUN, print) == (output / "checkpoint-10", 10)


def test_without_a_checkpoint_there_is_nothing_to_resume_from(tmp_path: Path) -> None:
    assert find(tmp_path) == (None, [])


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "optimizer.pt", "global_step/shard.pt", CHECKSUMS])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(output: Path, file: str, damage: str) -> None:
    damaged = output / "checkpoint-10" / file
    content = damaged.read_bytes()
    damaged.unlink()
    if damage != "missing":
        damaged.write_bytes(content[:-1] if damage == "cut" else b"#" + content[1:])
    found, said = find(output)
    assert found == output / "checkpoint-9"
    [line] = said
    assert "checkpoint-10 is damaged" in line
    assert (output / "damaged-checkpoint-10").is_dir()
    assert find(output) == (output / "checkpoint-9", [])


def test_one_that_was_not_written_to_its_end_is_set_aside(output: Path) -> None:
    write(output, 11, is_complete=False)
    found, said = find(output)
    assert found == output / "checkpoint-10"
    assert len(said) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"config.learning_rate": "0.1"}, "learning_rate was 0.001, not 0.1"),
        ({"config.seed": "7"}, "seed was not set, not 7"),
        ({"config.learning_rate": None}, "learning_rate was 0.001, and is not set now"),
        ({"data/mine/sft": "xyz"}, "data/mine/sft was another"),
        ({"the base model": "xyz", "config.seed": "7"}, "the base model was another, seed was not set, not 7"),
    ],
)
def test_another_run_is_told_what_has_changed(output: Path, changes: dict[str, str | None], expected: str) -> None:
    with pytest.raises(UserError, match=f"checkpoint-10 is of a run in which {expected}"):
        find(output, **changes)
    assert len(checkpoints(output)) == 2


def test_what_is_no_checkpoint_is_left_alone(output: Path) -> None:
    (output / "checkpoint-best").mkdir()
    remove_all(output)
    assert [path.name for path in output.iterdir()] == ["checkpoint-best"]


def test_only_the_latest_damaged_one_is_kept_and_goes_when_the_run_starts_afresh(output: Path) -> None:
    for step in (11, 12):
        write(output, step, is_complete=False)
        find(output)
    assert [path.name for path in output.glob("damaged-*")] == ["damaged-checkpoint-12"]
    remove_all(output)
    assert not list(output.iterdir())


def test_of_large_files_the_size_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("axolotl_plugins.resume.checkpoints.LARGE", 20)
    optimizer = write(tmp_path, 1) / "global_step" / "shard.pt"
    optimizer.write_bytes(b"#" * 21)
    mark_complete(tmp_path / "checkpoint-1", RUN, seconds=1)
    optimizer.write_bytes(b"+" * 21)
    assert find(tmp_path)[0]
    optimizer.write_bytes(b"+" * 22)
    assert find(tmp_path)[0] is None


def test_one_of_the_last_step_is_passed_over_for_the_one_before(output: Path) -> None:
    args: Any = SimpleNamespace(output_dir=str(output))
    for step in (11, 12):
        write(output, step, is_complete=False)
        state: Any = SimpleNamespace(is_world_process_zero=True, global_step=step, max_steps=12)
        Checkpoints(RUN, seconds_before=0).on_save(args, state, None)
    found, said = find(output)
    assert found == output / "checkpoint-11"
    assert len(said) == 1


@pytest.mark.hostile
def test_a_checkpoint_that_was_copied_from_another_recipe_is_not_resumed_from(tmp_path: Path) -> None:
    folder = tmp_path / "other" / "checkpoint-10"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    other = {**RUN, "data/other/sft": "abc", "config.base_model": '"other"'}
    other.pop("data/mine/sft")
    mark_complete(folder, other, 1.0)
    shutil.copytree(folder, tmp_path / "mine" / "checkpoint-10")
    with pytest.raises(UserError, match=r"checkpoint-10 is of a run in which .*data/mine/sft"):
        find_checkpoint(tmp_path / "mine", RUN, print)


@pytest.mark.hostile
@pytest.mark.parametrize("kind", ["file", "link", "folder of that name", *damages(b"{}")])
def test_what_only_has_the_name_of_a_checkpoint_is_set_aside_and_goes_with_the_others(
    tmp_path: Path, kind: str
) -> None:
    place, said = tmp_path / "run" / "checkpoint-10", list[str]()
    place.parent.mkdir()
    if kind == "file":
        place.write_bytes(b"")
    elif kind == "link":
        place.symlink_to(tmp_path)
    else:
        place.mkdir()
        content = damages(b"{}").get(kind)
        (place / CHECKSUMS).mkdir() if content is None else (place / CHECKSUMS).write_bytes(content)
    assert find_checkpoint(tmp_path / "run", RUN, said.append) is None
    assert "set aside as damaged-checkpoint-10" in said[0]
    remove_all(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    assert tmp_path.exists()
