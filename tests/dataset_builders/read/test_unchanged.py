"""A file that others write to while a build reads it: the rows are of what was hashed, or there is no build."""

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders import build as building
from dataset_builders.build import build
from dataset_builders.gates.benchmarks import read_texts
from dataset_builders.manifest import read_manifest
from dataset_builders.read import inputs
from dataset_builders.read.convert import made_by
from dataset_builders.recipe import DataConfig, load_config
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from tests.dataset_builders.files import OFF, file_contents, read_rows, write_config
from tests.dataset_builders.s3_server import BUCKET, s3_server

pytestmark = pytest.mark.hostile
SAID = "changed during the build; let it be, and run the command again"
BEFORE, AFTER = "가나다", "라마바"


def rows(word: str, count: int = 90) -> list[dict[str, str]]:
    """Return rows that all say a word; those of two words of one length are of one size."""
    asked, answered = f"{word} 오늘 날씨가 어떤지 알려 주세요", f"{word} 하늘이 맑고 바람이 붑니다"
    return [{"instruction": f"{number:03d} {asked}", "output": f"{number:03d} {answered}"} for number in range(count)]


def jsonl(word: str) -> bytes:
    """Return the rows as JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(word)).encode()


def csv(word: str) -> bytes:
    """Return the rows as CSV."""
    return "".join(
        ["instruction,output\n", *(f"{row['instruction']},{row['output']}\n" for row in rows(word))]
    ).encode()


def parquet(word: str) -> bytes:
    """Return the rows as parquet, of one size whatever the word."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows(word)), sink, compression="none", row_group_size=10)
    return bytes(sink.getvalue())


def arrow(word: str) -> bytes:
    """Return the rows as an Arrow file."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows(word))
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


FORMATS: dict[str, Callable[[str], bytes]] = {
    "a.jsonl": jsonl,
    "a.csv": csv,
    "a.parquet": parquet,
    "a.arrow": arrow,
    "a.jsonl.gz": lambda word: gzip.compress(jsonl(word), mtime=0),
    "cp949.csv": lambda word: csv(word).decode().encode("cp949"),
    "list.json": lambda word: json.dumps(rows(word)).encode(),
}


def in_place(path: Path, content: bytes) -> None:
    """Write other bytes into the same file, and give it its old time."""
    was = path.stat()
    with path.open("r+b") as file:
        file.truncate(file.write(content))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    while path.stat().st_ctime_ns == was.st_ctime_ns:  # the clock of files may tick every few milliseconds only
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def by_name(path: Path, content: bytes) -> None:
    """Put another file under the name, with the old one's time."""
    was, other = path.stat(), path.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(was.st_atime_ns, was.st_mtime_ns))
    other.replace(path)


def a_folder(path: Path, content: bytes) -> None:
    """Put a folder under the name."""
    path.unlink()
    path.mkdir()


def a_link_loop(path: Path, content: bytes) -> None:
    """Put a link to itself under the name."""
    path.unlink()
    path.symlink_to(path)


WAYS: dict[str, Callable[[Path, bytes], None]] = {
    "in place": in_place,
    "by name": by_name,
    "truncated": lambda path, content: os.truncate(path, len(content) // 3),
    "removed": lambda path, content: path.unlink(),
    "a folder": a_folder,
    "a link loop": a_link_loop,
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut files into several chunks."""
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 3_200)
    monkeypatch.setattr(inputs, "CHUNK_ROWS", 20)


def config_for(folder: Path, path: str | Path, **options: Any) -> DataConfig:
    """Return the config of a build of one source."""
    entry = {"source": "koalpaca", "path": str(path)}
    return load_config(write_config(folder / "data.yaml", entry, **{"quality": OFF, "test_size": 0.0, **options}))


def after_first_chunk(change: Callable[[], object]) -> Callable[[str, int, int], None]:
    """Return what is told of progress, and changes something as soon as one of several chunks is done."""

    def progress(what: str, done: int, total: int) -> None:
        if (what, done) == ("chunks", 1):
            assert total > 1
            change()

    return progress


def words_of(data: Path) -> set[str]:
    """Return which of the two words the rows of a build say."""
    said = {word for row in read_rows(data, "sft") for word in row["messages"][0]["content"].split()}
    return said & {BEFORE, AFTER}


def input_hash(content: bytes) -> str:
    """Return what a manifest has for a source of one file."""
    return hashlib.sha256(hashlib.sha256(content).hexdigest().encode()).hexdigest()


def refused(config: DataConfig, data: Path) -> str:
    """Build, and return what stands against it."""
    try:
        build(config, data)
    except UserError as error:
        return str(error)
    return ""


def check_is_new(config: DataConfig, data: Path) -> None:
    """Build once more: it has to be what a build into another folder makes of the files as they are now."""
    build(config, data)
    build(config, fresh := data.with_name("fresh"))
    assert file_contents(data) == file_contents(fresh)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_file_that_changes_between_two_chunks_ends_the_build(tmp_path: Path, name: str, way: str) -> None:
    path = tmp_path / name
    path.write_bytes(FORMATS[name](BEFORE))
    config = config_for(tmp_path, path)
    with pytest.raises(UserError, match=rf"{name}: {SAID}$"):
        build(config, tmp_path / "data", after_first_chunk(lambda: WAYS[way](path, FORMATS[name](AFTER))))
    assert not file_contents(tmp_path / "data")
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(FORMATS[name](AFTER))
    check_is_new(config, tmp_path / "data")
    assert words_of(tmp_path / "data") == {AFTER}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("step", ["next_step", "made_by", "_chunks"])
def test_a_file_that_changes_while_it_is_looked_at_is_read_as_it_was_hashed_or_not_at_all(
    tmp_path: Path, name: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / name, getattr(inputs, step)
    path.write_bytes(FORMATS[name](BEFORE))

    def change_first(*arguments: Any) -> Any:
        in_place(path, FORMATS[name](AFTER))
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(inputs, step, change_first)
        said = refused(config_for(tmp_path, path), tmp_path / "data")
    if said:
        assert said.endswith(f"{name}: {SAID}")
        assert not file_contents(tmp_path / "data")
    else:
        [word], [source] = words_of(tmp_path / "data"), read_manifest(str(tmp_path / "data")).sources
        assert source.input_sha256 == input_hash(FORMATS[name](word))
    check_is_new(config_for(tmp_path, path), tmp_path / "data")


def test_of_files_that_share_a_chunk_each_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 8_000)
    for number, row in enumerate(rows(BEFORE)):
        (tmp_path / "rows" / f"{number:03d}.jsonl").parent.mkdir(exist_ok=True)
        (tmp_path / "rows" / f"{number:03d}.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n")
    config, last = config_for(tmp_path, tmp_path / "rows"), tmp_path / "rows/089.jsonl"
    content = last.read_bytes().replace(BEFORE.encode(), AFTER.encode())
    with pytest.raises(UserError, match=rf"089.jsonl: {SAID}$"):
        build(config, tmp_path / "data", after_first_chunk(lambda: in_place(last, content)))
    check_is_new(config, tmp_path / "data")


def test_a_file_that_only_gets_another_time_is_the_same(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet"):
        (tmp_path / name).write_bytes(FORMATS[name](BEFORE))
        build(config_for(tmp_path, tmp_path / name), tmp_path / "data", after_first_chunk((tmp_path / name).touch))


def test_rows_that_are_put_behind_the_others_are_those_of_the_next_build(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(BEFORE))

    def append() -> None:
        with path.open("ab") as file:
            file.write(jsonl(AFTER))

    [source] = build(config_for(tmp_path, path), tmp_path / "data", after_first_chunk(append)).sources
    assert source.input_sha256 == input_hash(jsonl(BEFORE))
    assert words_of(tmp_path / "data") == {BEFORE}
    check_is_new(config_for(tmp_path, path), tmp_path / "data")


def test_a_file_that_changes_after_a_build_was_interrupted_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(BEFORE))
    config = config_for(tmp_path, path)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(config, tmp_path / "data", after_first_chunk(interrupt))
    in_place(path, parquet(AFTER))
    check_is_new(config, tmp_path / "data")
    assert words_of(tmp_path / "data") == {AFTER}


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_benchmark_that_changes_before_its_texts_are_read_ends_the_build(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(jsonl(BEFORE))
    exam, real = tmp_path / name, read_texts
    exam.write_bytes(FORMATS[name](BEFORE))
    quality = {"contamination": {"action": "reject", "benchmarks": [{"name": "exam", "path": str(exam)}]}, **OFF}

    def change_first(*arguments: Any) -> Any:
        in_place(exam, FORMATS[name](AFTER))
        return real(*arguments)

    monkeypatch.setattr(building, "read_texts", change_first)
    with pytest.raises(UserError, match=rf"{name}: {SAID}$"):
        build(config_for(tmp_path, tmp_path / "rows.jsonl", quality=quality), tmp_path / "data")
    assert not file_contents(tmp_path / "data")


def test_workers_say_so_too_and_older_data_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(BEFORE))
    build(config_for(tmp_path, path), tmp_path / "data")
    before = file_contents(tmp_path / "data")
    path.write_bytes(parquet("사아자"))
    with pytest.raises(UserError, match=rf"a.parquet: {SAID}$"):
        build(
            config_for(tmp_path, path),
            tmp_path / "data",
            after_first_chunk(lambda: in_place(path, parquet(AFTER))),
            workers=2,
        )
    assert file_contents(tmp_path / "data") == before


def test_the_command_says_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, real = tmp_path / "a.jsonl", inputs.find_input
    path.write_bytes(jsonl(BEFORE))
    config_for(tmp_path, path)

    def change_then(*arguments: Any) -> Any:
        found = real(*arguments)
        in_place(path, jsonl(AFTER))
        return found

    monkeypatch.setattr(inputs, "find_input", change_then)
    with pytest.raises(SystemExit) as ended:
        main(["data", "--config", str(tmp_path / "data.yaml"), "--out", str(tmp_path / "data")])
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {path}: {SAID}\n"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A bucket."""
    with s3_server() as filesystem:
        yield filesystem


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.jsonl.gz"])
def test_an_object_that_changes_ends_the_build(
    tmp_path: Path, name: str, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, real = f"{BUCKET}/{name}", made_by
    s3.pipe_file(key, FORMATS[name](BEFORE))
    config = config_for(tmp_path, f"s3://{key}")

    def change(*arguments: Any) -> Any:
        s3.pipe_file(key, FORMATS[name](AFTER))
        return real(*arguments) if arguments else None

    monkeypatch.setattr(inputs, "made_by", change)
    with pytest.raises(UserError, match=rf"{name}: {SAID}$"):
        build(config, tmp_path / "data", after_first_chunk(change))
    assert not file_contents(tmp_path / "data")
    [source] = build(config, tmp_path / "data").sources
    assert (words_of(tmp_path / "data"), source.read) == ({AFTER}, 90)
