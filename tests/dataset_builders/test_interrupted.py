"""Data is complete or not there, and the same command afterwards makes it, wherever it was killed or had no room."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from dataset_builders import build as building
from dataset_builders.build import build
from dataset_builders.manifest import MANIFEST
from dataset_builders.recipe import load_config
from dataset_builders.shards import publish
from dataset_builders.verify import verify
from rabbit_ko.cli import main
from rabbit_ko.publishing.push_data import push
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import OFF, build_rows, file_contents, write_config
from tests.dataset_builders.read.test_unchanged import FORMATS
from tests.interruptions import Killer, kills, room_for

pytestmark = pytest.mark.hostile
ROWS = [{**row, "id": str(number)} for number, row in enumerate(exchanges(40))]
BAD = {"id": "bad", "instruction": "질문", "output": " "}


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two builds with rejected rows, of which the second has fewer shards: `before/data` and `after/data`."""
    folder = tmp_path_factory.mktemp("builds")
    build_rows(folder / "before", "alpaca", [*ROWS, BAD], {"license": "MIT"}, rows_per_shard=10, test_size=0.1)
    build_rows(folder / "after", "alpaca", [*ROWS[:20], BAD], {"license": "MIT"}, rows_per_shard=10)
    return folder


def shards_of(folder: Path) -> dict[str, bytes]:
    """Return the content of what a folder of data holds under final names."""
    return {name: content for name, content in file_contents(folder).items() if not Path(name).name.startswith(".")}


def test_a_build_that_is_killed_while_it_publishes_leaves_complete_data_or_none(builds: Path, tmp_path: Path) -> None:
    config, data = load_config(builds / "after/data.yaml"), tmp_path / "data"
    before, after = shards_of(builds / "before/data"), shards_of(builds / "after/data")
    shutil.copytree(builds / "before/data", data)

    def action(killer: Killer) -> None:
        def armed(*arguments: Any) -> None:
            killer.is_armed = True
            publish(*arguments)

        vars(building)["publish"] = armed
        build(config, data)

    numbers = []
    for number in kills(action):
        numbers.append(number)
        found = shards_of(data)
        if MANIFEST in found:
            assert found == before if found[MANIFEST] == before[MANIFEST] else found == after
            verify(str(data))
        assert all(content in (before.get(name), after.get(name)) for name, content in found.items())
        build(config, data)
        assert file_contents(data) == after
        shutil.rmtree(data)
        shutil.copytree(builds / "before/data", data)
    assert len(numbers) > 6
    assert shards_of(data) == after


def test_a_push_to_a_folder_that_is_killed_leaves_complete_data_or_none(builds: Path, tmp_path: Path) -> None:
    target, url = tmp_path / "pushed", f"file://{tmp_path}/pushed"
    push(builds / "after/data", url, public=False)
    after = file_contents(target)
    shutil.rmtree(target)
    push(builds / "before/data", url, public=False)
    before = file_contents(target)

    def action(killer: Killer) -> None:
        killer.is_armed = True
        push(builds / "after/data", url, public=False)

    numbers = []
    for number in kills(action):
        numbers.append(number)
        found = shards_of(target)
        if MANIFEST in found:
            assert found in (before, after)
        assert all(content in (before.get(name), after.get(name)) for name, content in found.items())
        push(builds / "after/data", url, public=False)
        assert file_contents(target) == after
        verify(url)
        shutil.rmtree(target)
        push(builds / "before/data", url, public=False)
    assert len(numbers) > 6
    assert file_contents(target) == after


def run(*arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.arrow", "cp949.csv", "list.json"])
def test_without_room_for_a_converted_file_the_line_names_it(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(FORMATS[name]("가나다"))
    config = write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": str(tmp_path / name)}, quality=OFF)
    arguments = ("data", "--config", str(config), "--out", str(tmp_path / "data"))
    with room_for(1_000):
        assert run(*arguments) == 1
    assert re.fullmatch(rf"error: {tmp_path}/data/.chunks/inputs/\S+: File too large.*\n", capsys.readouterr().err)
    assert run(*arguments) == 0
    verify(str(tmp_path / "data"))


@pytest.mark.parametrize("size", [0, 100, 1_000, 2_500])
@pytest.mark.parametrize("command", ["data", "push-data"])
def test_without_room_old_data_stays_and_one_line_says_so(
    builds: Path, tmp_path: Path, command: str, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data, pushed = tmp_path / "data", tmp_path / "pushed"
    shutil.copytree(builds / "before/data", data)
    arguments = {
        "data": ["data", "--config", str(builds / "after/data.yaml"), "--out", str(data)],
        "push-data": ["push-data", "--folder", str(data), "--repo", f"file://{pushed}"],
    }[command]
    with room_for(size):
        assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert str(tmp_path) in error
    assert not (pushed / MANIFEST).exists()
    assert shards_of(data) == shards_of(builds / "before/data")
    assert run(*arguments) == 0
    verify(str(data if command == "data" else pushed))
    assert not [name for name in file_contents(tmp_path) if Path(name).name.startswith(".")]
