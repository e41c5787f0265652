"""Builds from and into object storage, on a real S3 server, and the writing of a single file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from dataset_builders import shards
from dataset_builders.build import build
from dataset_builders.read.formats import read_rows
from dataset_builders.recipe import load_config
from dataset_builders.verify import verify
from rabbit_ko import storage
from rabbit_ko.errors import UserError
from tests.conftest import ROOT, environment
from tests.dataset_builders.files import OFF, file_contents, write_config, write_jsonl
from tests.dataset_builders.s3_server import BUCKET, s3_contents, s3_server
from tests.dataset_builders.test_determinism import raw_rows, write_recipe
from tests.interruptions import Killer, kills

FILES = 2
# One of each source, since small files share a chunk.
CHUNKS = 3
# `rabbit data`, which a kill ends when the first chunk is done.
KILLED_AT_THE_SECOND = """
import os, signal, sys
from dataset_builders import pipeline
from rabbit_ko.cli import main
read, chunks = pipeline.read_rows, iter(range(9))
pipeline.read_rows = lambda *args: os.kill(os.getpid(), signal.SIGKILL) if next(chunks) else read(*args)
main(["data", *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with s3_server() as filesystem:
        yield filesystem


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's data.yaml, of many chunks."""
    return write_recipe(tmp_path_factory.mktemp("recipe"), raw_rows(200), files=FILES)


@pytest.fixture(scope="module")
def built(recipe: Path) -> dict[str, bytes]:
    """What the recipe comes to on this machine."""
    build(load_config(recipe), recipe.parent / "plain")
    return file_contents(recipe.parent / "plain")


def test_weights_can_be_read_by_whoever_may_read_other_files(tmp_path: Path) -> None:
    for name in ("model.safetensors", "checkpoint-3/adapter_model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(mode=0o600)
    before = os.umask(0o027)
    try:
        storage.make_readable(tmp_path)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.rglob("*.safetensors")} == {0o640}


@pytest.mark.slow
def test_object_storage_gets_the_bytes_that_a_folder_gets(recipe: Path, built: dict[str, bytes], s3: Any) -> None:
    build(load_config(recipe), f"s3://{BUCKET}/same")
    assert s3_contents(s3, f"{BUCKET}/same") == built
    assert not [name for name in s3.find(BUCKET) if "/.chunks/" in name]
    verify(f"s3://{BUCKET}/same")


@pytest.mark.slow
def test_a_second_build_leaves_the_shards_alone(recipe: Path, built: dict[str, bytes], s3: Any) -> None:
    build(load_config(recipe), f"s3://{BUCKET}/twice")
    before = {name: found["LastModified"] for name, found in s3.find(f"{BUCKET}/twice", detail=True).items()}
    time.sleep(1.1)  # S3 tells times in seconds.
    build(load_config(recipe), f"s3://{BUCKET}/twice")
    after = {name: found["LastModified"] for name, found in s3.find(f"{BUCKET}/twice", detail=True).items()}
    assert {name for name in after if after[name] != before[name]} == {f"{BUCKET}/twice/manifest.json"}
    assert s3_contents(s3, f"{BUCKET}/twice") == built


@pytest.mark.slow
def test_a_build_that_is_killed_resumes(
    recipe: Path, built: dict[str, bytes], s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = f"{BUCKET}/killed"
    options = ["--config", str(recipe), "--out", f"s3://{out}", "--workers", "1"]
    command = [sys.executable, "-c", KILLED_AT_THE_SECOND, *options]
    ran = subprocess.run(command, env=environment(PYTHONPATH=str(ROOT)))
    assert ran.returncode == -signal.SIGKILL
    assert len(_reports(s3, out)) == 1
    assert s3_contents(s3, out) == {}
    processed: list[str] = []

    def counted(*args: Any) -> Any:
        processed.append(args[0].path)
        return read_rows(*args)

    monkeypatch.setattr("dataset_builders.pipeline.read_rows", counted)
    build(load_config(recipe), f"s3://{out}")
    assert len(processed) == CHUNKS - 1
    assert s3_contents(s3, out) == built


def _reports(s3: Any, out: str) -> list[str]:
    return [name for name in s3.find(f"{out}/.chunks") if name.endswith("/report.json")]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    storage.write(str(path), b"old")
    with pytest.raises(TypeError):
        storage.write(str(path), cast("Any", "text"))
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == {"file": b"old"}


def test_what_is_not_there_is_said_and_is_removed_without_a_word(s3: Any, tmp_path: Path) -> None:
    for path in (str(tmp_path / "none.json"), f"s3://{BUCKET}/none.json"):
        storage.remove(path)
        storage.write(path, "가나".encode())
        assert storage.read(path).decode() == "가나"
        assert storage.read(path, 3, 6).decode() == "나"
        storage.remove(path)
        with pytest.raises(FileNotFoundError):
            storage.read(path)


@pytest.mark.hostile
def test_a_file_whose_writing_is_killed_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    """Cards, pages, results and shards are written so."""
    path = tmp_path / "README.md"
    old, new = b"old" * 1_000, b"new" * 2_000
    path.write_bytes(old)

    def action(killer: Killer) -> None:
        killer.is_armed = True
        storage.write(str(path), new)

    found = [path.read_bytes() for _ in kills(action)]
    assert len(found) >= 3
    assert found[:2] == [old, old]
    assert set(found) <= {old, new}
    assert path.read_bytes() == new
    assert len(list(tmp_path.iterdir())) > 1
    storage.remove_leftovers(str(tmp_path))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.hostile
def test_a_folder_that_is_named_like_a_leftover_stays(tmp_path: Path) -> None:
    (folder := tmp_path / f".README.md-{'0' * 32}").mkdir()
    storage.remove_leftovers(str(tmp_path))
    assert folder.is_dir()


@pytest.mark.hostile
def test_leftovers_that_cannot_be_removed_cost_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"instruction": f"{number}번 질문", "output": "답"} for number in range(9)]
    )
    config = write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": str(path)}, quality=OFF)
    build(load_config(config), tmp_path / "data")
    before = file_contents(tmp_path / "data")

    def fail(folder: str) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(shards, "remove_leftovers", fail)
    with pytest.raises(PermissionError):
        build(load_config(config), tmp_path / "data")
    assert file_contents(tmp_path / "data") == before


@pytest.mark.hostile
@pytest.mark.parametrize(
    "url", ["simplecache::http://host/a.jsonl", "zip://a.jsonl::HTTPS://host/a.zip", "gzip://::x"]
)
def test_a_url_within_a_url_is_refused(tmp_path: Path, url: str) -> None:
    config = write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": url}, quality=OFF)
    with pytest.raises(UserError, match="a URL within a URL is not read; download the file by hand"):
        build(load_config(config), tmp_path / "data")


@pytest.mark.hostile
def test_keys_that_look_like_paths_out_of_a_folder_are_names(s3: Any, tmp_path: Path) -> None:
    lines = "".join(f'{{"instruction": "{number}번 질문", "output": "{number}번 답"}}\n' for number in range(9))
    for key in ("keys/../a.jsonl", "keys/sub/../../../b.jsonl", "keys/a\\..\\c.jsonl"):
        s3.pipe_file(f"{BUCKET}/{key}", lines.replace("번", key[-7]).encode())
    config = write_config(tmp_path / "data.yaml", {"source": "koalpaca", "path": f"s3://{BUCKET}/keys"}, quality=OFF)
    [source] = build(load_config(config), tmp_path / "data/here").sources
    assert source.read == 9 * source.input_files
    assert {path.parts[len(tmp_path.parts)] for path in tmp_path.rglob("*")} == {"data.yaml", "data"}
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["here"]
