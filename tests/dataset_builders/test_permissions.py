"""Folders and files that an ordinary user may not read or write are named in one line, and nothing is lost."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataset_builders.verify import verify
from rabbit_ko.cli import main
from rabbit_ko.storage import write
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import build_rows, file_contents, write_jsonl

pytestmark = pytest.mark.hostile
NOBODY = 65_534
SHARD = "sft/train-00000-of-00001.parquet"


@pytest.fixture(scope="module", autouse=True)
def _imports(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run each command once: what Python imports late is there before a user is who may not read it."""
    place = tmp_path_factory.mktemp("imports")
    build_rows(place, "alpaca", exchanges(30), {"license": "MIT"})
    for command in ("data --config {0}/data.yaml --out {0}/new", "verify {0}/new", "diff {0}/data {0}/new"):
        assert main_of(*command.format(place).split()) == 0
    assert main_of("push-data", "--folder", f"{place}/data", "--repo", f"file://{place}/pushed") == 0
    assert main_of("verify", f"{place}/none") == 1


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an ordinary user may enter, with data that is theirs, and what it is built from."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        build_rows(place, "alpaca", exchanges(30), {"license": "MIT"})
        write_jsonl(place / "rows/sub/a.jsonl", exchanges(30))
        write_jsonl(place / "rows/b.jsonl", exchanges(30))
        text = (place / "data.yaml").read_text()
        (place / "other.yaml").write_text(f"{text}seed: 1\n")
        (place / "folder.yaml").write_text(text.replace("rows.jsonl", "rows"))
        main_of("verify", str(place / "data"))
        (place / "runs").mkdir()
        for path in (place, *place.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield place
        for path in place.rglob("*"):
            path.chmod(0o755)


def main_of(*arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Be one whom permissions bind, which they do not the administrator of a container."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


CASES = [
    ("data --config {0}/data.yaml --out {0}/new", "", 0o555, "new"),
    ("data --config {0}/data.yaml --out {0}/runs/new", "runs", 0o000, "runs/new"),
    ("data --config {0}/other.yaml --out {0}/data", "data", 0o555, "data"),
    ("data --config {0}/other.yaml --out {0}/data", "data/sft", 0o000, "data/sft"),
    ("data --config {0}/data.yaml --out {0}/new", "rows.jsonl", 0o000, "rows.jsonl"),
    ("data --config {0}/folder.yaml --out {0}/new", "rows/sub", 0o000, "rows/sub"),
    ("data --config {0}/data.yaml --out {0}/new", "data.yaml", 0o000, "data.yaml"),
    ("verify {0}/data", "data/manifest.json", 0o000, "data/manifest.json"),
    ("verify {0}/data", f"data/{SHARD}", 0o000, f"data/{SHARD}"),
    ("verify {0}/data", "data/sft", 0o000, "data/sft/"),
    ("verify {0}/data", "data", 0o000, "data/manifest.json"),
    ("diff {0}/data {0}/data", f"data/{SHARD}", 0o000, f"data/{SHARD}"),
    ("push-data --folder {0}/data --repo file://{0}/runs/new", "runs", 0o555, "runs/new"),
    ("push-data --folder {0}/data --repo file://{0}/new", f"data/{SHARD}", 0o000, f"data/{SHARD}"),
    ("push-data --folder {0}/data --repo file://{0}/new", "data/manifest.json", 0o000, "data/manifest.json"),
    ("push-data --folder {0}/data --repo file://{0}/new", "data", 0o000, "data/manifest.json"),
]


@pytest.mark.parametrize(("command", "place", "mode", "named"), CASES)
def test_what_may_not_be_read_or_written_is_named(
    folder: Path, command: str, place: str, mode: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file_contents(folder)
    (folder / place).chmod(mode)
    capsys.readouterr()
    with ordinary_user():
        code = main_of(*command.format(folder).split())
    (folder / place).chmod(0o755)
    error = capsys.readouterr().err
    assert code == 1
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert f"{folder}/{named}" in error
    assert "Permission denied" in error
    assert file_contents(folder) == before
    verify(str(folder / "data"))
    if not place.endswith("yaml"):
        assert main_of(*command.format(folder).split()) == 0
    shutil.rmtree(folder / "new", ignore_errors=True)


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_card_or_page_that_may_not_be_written_is_named_by_its_own_name(folder: Path, mode: int) -> None:
    (folder / "runs").chmod(mode)
    with ordinary_user(), pytest.raises(PermissionError) as caught:
        write(str(folder / "runs/README.md"), b"card")
    assert str(caught.value.filename) == f"{folder}/runs/README.md"
