"""A manifest that was edited, or that points elsewhere, is trusted by nobody."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build, current
from dataset_builders.manifest import CHECKSUM, MANIFEST, parse_manifest, read_manifest
from dataset_builders.recipe import load_config
from dataset_builders.verify import diff, verify
from rabbit_ko.errors import UserError
from rabbit_ko.publishing.push_data import push
from tests.dataset_builders.corpora import exchanges
from tests.dataset_builders.files import build_rows, write_jsonl

pytestmark = pytest.mark.hostile
SHARD = "sft/train-00000-of-00001.parquet"
ROWS = [{**row, "id": str(number)} for number, row in enumerate(exchanges(30))]
BAD = {"id": "bad", "instruction": "질문", "output": " ", "extra": 1}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shards with rejected rows, a benchmark, and nearly every field of a manifest."""
    folder = tmp_path_factory.mktemp("built")
    exam = write_jsonl(folder / "exam.jsonl", [{"question": "하나 둘 셋"}])
    quality = {"contamination": {"action": "reject", "benchmarks": [{"name": "exam", "path": str(exam)}]}}
    quality |= {"hangul": {"action": "report"}}
    build_rows(folder, "alpaca", [*ROWS, BAD], {"license": "MIT"}, test_size=0.1, quality=quality)
    return folder / "data"


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(built, tmp_path / "data")


def edits(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield JSON with one thing changed: each value altered or of another type, each key or entry gone or added."""
    if isinstance(value, dict):
        yield f"{place}+", {**value, "added": 1}
        for key, inner in value.items():
            yield f"{place}-{key}", {name: it for name, it in value.items() if name != key}
            yield from ((where, {**value, key: it}) for where, it in edits(inner, f"{place}.{key}"))
    elif isinstance(value, list):
        yield f"{place}[+]", [*value, value[0] if value else 1]
        for at, inner in enumerate(value):
            yield f"{place}[-{at}]", [*value[:at], *value[at + 1 :]]
            yield from ((where, [*value[:at], it, *value[at + 1 :]]) for where, it in edits(inner, f"{place}[{at}]"))
    else:
        others = [not value, 0, 1, -1, 0.5, "", "다름", f"{value}x", None, []]
        yield from ((f"{place}={it!r}", it) for it in others if (type(it), it) != (type(value), value))


def test_each_edit_of_a_manifest_is_noticed(built: Path) -> None:
    fields = json.loads((built / MANIFEST).read_bytes())
    edited = dict(edits(fields))
    assert len(edited) > 1_000
    unnoticed = []
    for what, content in edited.items():
        with suppress(ValueError, UserError):
            parse_manifest(json.dumps(content).encode(), MANIFEST)
            unnoticed.append(what)
    assert not unnoticed


def test_a_manifest_that_is_only_laid_out_otherwise_is_the_same(data: Path) -> None:
    fields = json.loads((data / MANIFEST).read_bytes())
    before = read_manifest(str(data))
    (data / MANIFEST).write_text(json.dumps(dict(reversed(fields.items())), ensure_ascii=False))
    assert read_manifest(str(data)) == before


def _edited(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "git_commit": "0" * 40}


def _without_checksum(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != CHECKSUM}


def _of_version_3(fields: dict[str, Any]) -> dict[str, Any]:
    return {**_without_checksum(fields), "schema_version": 3}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_edited, "not as the build wrote it, since its checksum is that of another content; build the data again"),
        (_without_checksum, "not as the build wrote it, since its checksum is that of another content"),
        (_of_version_3, "of an earlier version; build the data again$"),
    ],
)
def test_nobody_trusts_an_edited_manifest_and_a_build_makes_a_new_one(
    data: Path, built: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    config = load_config(built.parent / "data.yaml")
    assert current(config, data)
    (data / MANIFEST).write_text(json.dumps(edit(json.loads((data / MANIFEST).read_bytes()))))
    users: list[Callable[[], object]] = [
        lambda: verify(str(data)),
        lambda: diff(str(built), str(data)),
        lambda: push(data, f"file://{tmp_path}/pushed", public=False),
        lambda: push(data, "org/name", public=False),
    ]
    for use in users:
        with pytest.raises(UserError, match=f"{MANIFEST}: {said}"):
            use()
    assert not (tmp_path / "pushed").exists()
    assert current(config, data) is None
    build(config, data)
    assert (data / MANIFEST).read_bytes() == (built / MANIFEST).read_bytes()


@pytest.mark.parametrize("change", ["first", "middle", "last", "cut", "longer", "empty"])
def test_each_change_of_a_shard_is_noticed(data: Path, change: str) -> None:
    for path in data.rglob("*.parquet"):
        content = path.read_bytes()
        at = {"first": 0, "middle": len(content) // 2, "last": len(content) - 1}.get(change, 0)
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        path.write_bytes({"cut": content[:-1], "longer": content + b"\0", "empty": b""}.get(change, flipped))
        with pytest.raises(UserError, match=f"{path.name}: not the bytes that were built"):
            verify(str(data))
        path.write_bytes(content)
    verify(str(data))


NAMES = [
    "sft/../../secret.env",
    "sft/../../train-00000-of-00001.parquet",
    "../secret.parquet",
    "/etc/passwd",
    "/etc/train-00000-of-00001.parquet",
    "sft",
    "sft/",
    "sft/.",
    "sft//train-00000-of-00001.parquet",
    "sft/./train-00000-of-00001.parquet",
    "sft\\train-00000-of-00001.parquet",
    "sft/..\\train-00000-of-00001.parquet",
    "sft/train-00000-of-00001.parquet\0.env",
    "sft/train-00000-of-00001.parquet\n",
    "sft/train-00000-of-00001.parquet\x1b[2J",
    "sft∕train-00000-of-00001.parquet",
    "sft/train-00000-of-0000１.parquet",
    f"sft/train-{'0' * 300}-of-00001.parquet",
    "sft/secret.env",
    "sft/README.md",
    "eval/train-00000-of-00001.parquet",
    "manifest.json",
    "",
    "s3://bucket/train-00000-of-00001.parquet",
    "~/train-00000-of-00001.parquet",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_that_lists_what_no_build_makes_is_refused(data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.env").write_text("TOKEN=1")
    manifest = read_manifest(str(data))
    shards = [shard.model_copy(update={"file": name}) for shard in manifest.shards[:1]]
    text = manifest.model_copy(update={"shards": shards}).to_json()
    (data / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=f"{MANIFEST}: not a manifest of this version") as caught:
        push(data, f"file://{tmp_path}/out/pushed", public=False)
    assert str(caught.value).isprintable()
    assert not (tmp_path / "out").exists()


def test_a_shard_that_is_listed_twice_is_refused(data: Path) -> None:
    manifest = read_manifest(str(data))
    (data / MANIFEST).write_text(manifest.model_copy(update={"shards": manifest.shards * 2}).to_json())
    with pytest.raises(UserError, match="a shard is listed twice"):
        verify(str(data))


@pytest.mark.parametrize("link", ["file", "folder", "loop"])
def test_a_link_that_leads_out_of_the_folder_is_refused(data: Path, tmp_path: Path, link: str) -> None:
    linked = data / ("sft" if link == "folder" else SHARD)
    moved = linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(linked if link == "loop" else moved)
    for use in (verify, lambda folder: push(Path(folder), f"file://{tmp_path}/pushed", public=False)):
        with pytest.raises((UserError, OSError), match=r"a link that leads out of|symbolic links|is missing"):
            use(str(data))
    assert not (tmp_path / "pushed").exists()


def test_a_data_folder_may_itself_be_a_link_and_hold_links_within(data: Path, tmp_path: Path) -> None:
    (data / SHARD).rename(data / "kept.parquet")
    (data / SHARD).symlink_to(os.path.relpath(data / "kept.parquet", (data / SHARD).parent))
    (tmp_path / "link").symlink_to(data)
    verify(str(tmp_path / "link"))
