"""What may be pushed, to which targets, and pushing to a folder and to S3; `test_hub.py` pushes to the hub."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from dataset_builders.licenses import License, known
from dataset_builders.manifest import MANIFEST, Manifest, read_manifest
from rabbit_ko import storage
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from rabbit_ko.publishing.push_data import push, pushable
from tests.dataset_builders.data_folder import make_data_folder, pushed_files, summary
from tests.dataset_builders.s3_server import BUCKET, s3_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that may be pushed."""
    make_data_folder(tmp_path / "mine")
    return tmp_path / "mine"


def test_a_license_that_forbids_redistribution_is_refused_even_if_accepted(tmp_path: Path) -> None:
    license = known("CC-BY-NC-ND-4.0", "https://example.org/license")
    make_data_folder(tmp_path, [summary("dpo", license, name="closed", license_accepted="we asked")])
    with pytest.raises(
        UserError, match=r"source `closed`.*CC-BY-NC-ND-4.0 \(stated at https://example.org/license\)"
    ):
        push(tmp_path, (tmp_path / "out").as_uri(), public=False)
    assert not (tmp_path / "out").exists()


def test_a_license_that_states_nothing_needs_a_reason(tmp_path: Path) -> None:
    make_data_folder(tmp_path, [summary("sft", License(), name="silent")])
    with pytest.raises(
        UserError, match=r"source `silent`.*nothing allows redistribution.*`license_accepted: <reason>`"
    ):
        push(tmp_path, (tmp_path / "out").as_uri(), public=False)
    make_data_folder(tmp_path, [summary("sft", License(), name="silent", license_accepted="its makers said yes")])
    push(tmp_path, (tmp_path / "out").as_uri(), public=False)
    assert (tmp_path / "out" / MANIFEST).exists()


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"PAR1")])
def test_a_shard_that_is_not_what_the_manifest_says_is_refused(folder: Path, change: Any) -> None:
    change(folder / "dpo/test-00000-of-00001.parquet")
    with pytest.raises(UserError, match=r"dpo/test-00000-of-00001.parquet: is .*; run `make data` again"):
        push(folder, (folder / "out").as_uri(), public=False)


@pytest.mark.parametrize(
    ("text", "expected"), [(None, "no such file"), ("{}", "not a manifest of this version"), ("[", "not a manifest")]
)
def test_a_folder_without_a_manifest_is_refused(folder: Path, text: str | None, expected: str) -> None:
    (folder / MANIFEST).unlink()
    if text:
        (folder / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=rf"manifest.json: {expected}"):
        push(folder, "org/name", public=False)


@pytest.mark.parametrize(
    ("target", "public", "expected"),
    [
        ("name", False, "name: whose? say org/name"),
        ("org/na me", False, "org/na me: not a name on the hub"),
        ("a/b/c", False, "a/b/c: not a name on the hub"),
        ("hf://datasets/org/name", False, "for the hub say org/name"),
        (
            "https://me:word@huggingface.co/datasets/org/name",
            False,
            "https://***@huggingface.co/datasets/org/name: cannot",
        ),
        ("nowhere://x", False, "nowhere://x: Protocol not known"),
        ("nowhere://me:word@x", False, "nowhere://***@x: Protocol not known"),
        ("memory://x", True, "memory://x: PUBLIC is for the hub"),
    ],
)
def test_targets_that_are_none(folder: Path, target: str, public: bool, expected: str) -> None:
    with pytest.raises(UserError, match=re.escape(expected)) as caught:
        push(folder, target, public)
    assert "\n" not in str(caught.value)


def test_a_folder_gets_the_shards_and_the_manifest_and_loses_older_shards(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "shared [1]" / "data"
    push(folder, f"file://{out}", public=False)
    (out / "sft/train-00001-of-00002.parquet").write_bytes(b"old")
    (out / "notes.txt").write_text("mine")
    assert push(folder, f"file://{out}/", public=False) == f"file://{out}/"
    assert pushed_files(out) == pushed_files(folder)
    assert (out / "notes.txt").exists()
    assert not read_manifest(str(out)).in_folder("rejected")


def test_a_folder_cannot_be_pushed_onto_itself(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(UserError, match="onto itself"):
        push(folder, folder.as_uri(), public=False)
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_a_copy_that_breaks_off_has_no_manifest(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    push(folder, out.as_uri(), public=False)
    writes = iter([storage.write])

    def write_one_file(path: str, content: bytes) -> None:
        if not (write := next(writes, None)):
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr("rabbit_ko.publishing.push_data.write", write_one_file)
    with pytest.raises(UserError, match=r"cannot be written: .*No space left on device"):
        push(folder, out.as_uri(), public=False)
    assert not (out / MANIFEST).exists()


def run_push(*arguments: str) -> int:
    """Run the command line; return its exit code."""
    with pytest.raises(SystemExit) as exited:
        main(["push-data", *arguments])
    assert isinstance(exited.value.code, int)
    return exited.value.code


def test_the_command_pushes_a_recipes_shards_or_those_of_a_folder(
    in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_data_folder(Path("data/mine"))
    Path("axolotl_configs/mine").mkdir(parents=True)
    Path("axolotl_configs/mine/data.yaml").touch()
    for number, options in enumerate(([], ["--folder", "data/mine"])):
        out = in_tmp / f"out-{number}"
        assert run_push("--recipe", "mine", *options, "--repo", out.as_uri()) == 0
        assert capsys.readouterr().out == f"{out.as_uri()}\n"
        assert pushed_files(out) == pushed_files(Path("data/mine"))


def test_the_command_wants_to_know_where_to(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("axolotl_configs/mine").mkdir(parents=True)
    Path("axolotl_configs/mine/data.yaml").touch()
    assert run_push("--recipe", "mine") == 2
    expected = "error: rabbit push-data: say where: make push-data RECIPE=mine REPO=org/name\n"
    assert capsys.readouterr() == ("", expected)
    assert run_push("--recipe", "other", "--repo", "org/name") == 2
    assert capsys.readouterr().err.startswith("error: RECIPE=other: there is no such recipe")


@pytest.fixture(scope="module")
def s3() -> Iterator[fsspec.AbstractFileSystem]:
    """An S3 server on this machine."""
    with s3_server() as filesystem:
        yield filesystem


@pytest.mark.hostile
def test_a_shard_that_changes_during_a_push_ends_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pushable_then_change(checked: Path) -> Manifest:
        manifest = pushable(checked)
        (checked / manifest.shards[-1].file).write_bytes(b"other")
        return manifest

    monkeypatch.setattr("rabbit_ko.publishing.push_data.pushable", pushable_then_change)
    with pytest.raises(UserError, match=r"\.parquet: changed during the push; let it be, and push again"):
        push(folder, f"file://{tmp_path}/out", public=False)
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_s3_gets_the_manifest_last_and_loses_older_shards(folder: Path, s3: fsspec.AbstractFileSystem) -> None:
    s3.pipe_file(f"{BUCKET}/mine/dpo/train-00001-of-00002.parquet", b"old")
    push(folder, f"s3://{BUCKET}/mine", public=False)
    s3.invalidate_cache()
    files = {name.removeprefix(f"{BUCKET}/mine/"): s3.cat_file(name) for name in s3.find(f"{BUCKET}/mine")}
    assert files.pop(MANIFEST)
    assert files == pushed_files(folder)
    kept = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET].keys
    assert max(kept.values(), key=lambda key: key.last_modified).name == f"mine/{MANIFEST}"


def test_a_bucket_that_is_not_there_is_named_and_not_made(folder: Path, s3: fsspec.AbstractFileSystem) -> None:
    with pytest.raises(UserError, match=r"s3://no-such-bucket/mine: cannot be written: .*bucket") as caught:
        push(folder, "s3://no-such-bucket/mine", public=False)
    assert "aSecretKey" not in str(caught.value)
    assert s3.ls("") == [BUCKET]
