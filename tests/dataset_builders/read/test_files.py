"""Which files are read, what is no data, and what a converted file is made of."""

import json
import os
import pickle
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from dataset_builders.build import build, current
from dataset_builders.read import inputs, json_values
from dataset_builders.read.files import shown_note
from dataset_builders.read.inputs import find_input
from dataset_builders.read.location import Location
from dataset_builders.recipe import load_config
from rabbit_ko.errors import UserError
from tests.dataset_builders.files import OFF, write_config, write_jsonl
from tests.dataset_builders.read.reading import read_all, read_bytes

ROW = {"instruction": "질문", "output": "답"}
LINE = json.dumps(ROW, ensure_ascii=False).encode() + b"\n"


def test_every_visible_file_is_read_or_named(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    for name in ("a.jsonl", "b.json", "c.ndjson", "sub/d.JSONL", "sub/.hidden/x.jsonl", ".git/y.jsonl", "._a.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(LINE)
    for name in ("README.md", "LICENSE", "x\x1b[31m.txt", "z.png", ".gitattributes", "dataset_infos.json"):
        (folder / name).write_text("x")
    rows, notes = read_all(folder, work=tmp_path / "work")
    assert rows == [ROW] * 4
    skipped = "not read: LICENSE, README.md, dataset_infos.json"
    assert notes == ["b.json: read as JSON lines", f"{skipped}, x␛[31m.txt, z.png"]
    assert [shown_note(note) for note in notes] == ["b.json: read as JSON lines", f"{skipped} and 2 more"]


def test_what_holds_of_many_files_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(5):
        (tmp_path / f"d/{number}.jsonl").write_bytes(b"[" + LINE + b"]")
    (tmp_path / "d/empty.csv").touch()
    rows, notes = read_all(tmp_path / "d", work=tmp_path / "work")
    assert rows == [ROW] * 5
    assert notes == ["0.jsonl, 1.jsonl, 2.jsonl and 2 more: read as one JSON list", "empty.csv: is empty"]


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet", "x.json.gz", "x.xlsx"])
def test_a_pipe_never_hangs_a_build(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="no regular file, but a pipe, a socket or a device"):
        read_all(tmp_path / name)
    (tmp_path / "a.jsonl").write_bytes(LINE)
    assert read_all(tmp_path) == ([ROW], [f"not read: {name}"])


def test_links_are_followed_to_files_and_named_otherwise(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(LINE)
    (tmp_path / "d/sub").mkdir(parents=True)
    (tmp_path / "d/a.jsonl").symlink_to(tmp_path / "blob")
    (tmp_path / "d/sub/up").symlink_to(tmp_path / "d")
    assert read_all(tmp_path / "d", work=tmp_path / "work") == ([ROW], ["not read: sub/up"])
    (tmp_path / "d/b.jsonl").symlink_to(tmp_path / "none")
    with pytest.raises(UserError, match=r"b\.jsonl: a link to a file that is not there"):
        read_all(tmp_path / "d", work=tmp_path / "work")


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.xlsx", "a.csv.gz"]
)
def test_an_empty_file_is_a_file_without_rows(tmp_path: Path, name: str) -> None:
    assert read_bytes(tmp_path, name, b"") == ([], [f"{name}: is empty"])


OTHERS: list[tuple[bytes, str]] = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n", "a Git LFS pointer"),
    (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a page of HTML or XML"),
    (b"\n  <HTML><head></head></HTML>", "a page of HTML or XML"),
    (b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a page of HTML or XML"),
    (b"PK\x03\x04\x14\0\0\0", "a zip archive"),
    (pickle.dumps([ROW], protocol=4), "a pickle"),
    (pickle.dumps([ROW], protocol=2), "a pickle"),
    (b"\x1f\x8b\x08\0\0\0\0\0", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd\0\0", "compressed with zstd"),
    (b"PAR1\x15\x04", "a parquet file"),
    (b"ARROW1\0\0", "an Arrow file"),
    (b"%PDF-1.7", "a PDF"),
    (b"\x89PNG\r\n\x1a\n", "an image"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel file, or one with a password"),
    (b"SQLite format 3\0", "an SQLite database"),
    (bytes(range(32)) + b"\0" * 32, "binary, or UTF-16 without a mark"),
]
OWN = {"a.xlsx": "a zip archive", "a.parquet": "a parquet file", "a.arrow": "an Arrow file"}


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.xlsx"])
@pytest.mark.parametrize(("content", "what"), OTHERS)
def test_what_is_no_data_is_named_alone_and_beside_data(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    if OWN.get(name) == what or (name[2:] in ("parquet", "arrow", "xlsx") and what.startswith("binary")):
        what = "broken"
    with pytest.raises(UserError, match=f"{name}: .*{what}") as caught:
        read_bytes(tmp_path, name, content)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    (tmp_path / "good.jsonl").write_bytes(LINE)
    with pytest.raises(UserError, match=f"{name}: .*{what}"):
        read_all(tmp_path)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_names_of_files_and_folders_compare_composed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, asked: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(unicodedata.normalize(form, "자료/질문.jsonl"))
    path.parent.mkdir()
    path.write_bytes(LINE)
    for wanted in ("자료/질문.jsonl", "자료", str(tmp_path / "자료")):
        assert read_all(Path(unicodedata.normalize(asked, wanted)), work=tmp_path / "work")[0] == [ROW]


def test_a_file_is_converted_once_and_a_half_one_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [[ROW] * 3, "x"][:1])
    work = tmp_path / "work"

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(json_values.Values, "_between", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read_all(path, work=work)
    assert list(work.iterdir()) == []
    assert read_all(path, work=work)[0] == [ROW] * 3
    # As a kill leaves it.
    for file in work.iterdir():
        file.unlink() if file.suffix == ".report" else file.write_bytes(LINE)
    assert read_all(path, work=work)[0] == [ROW] * 3
    monkeypatch.setattr(json_values.Values, "_between", interrupted)
    assert read_all(path, work=work)[0] == [ROW] * 3


def test_whether_data_is_current_converts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"instruction": f"{n}번 질문", "output": f"{n}번 답"} for n in range(9)]
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.json").write_text(json.dumps(rows[:5], ensure_ascii=False), encoding="utf-8")
    (tmp_path / "d/b.csv").write_bytes(("instruction,output\n" + "여섯,이것은 답입니다\n" * 4).encode("cp949"))
    config = load_config(write_config(tmp_path / "data.yaml", {"source": "alpaca", "path": str(tmp_path / "d")}))
    manifest = build(config, tmp_path / "data")
    assert manifest.sources[0].notes == ["b.csv: read as CP949"]
    assert manifest.sources[0].input_bytes == sum(file.stat().st_size for file in (tmp_path / "d").iterdir())
    monkeypatch.setattr(inputs, "_prepare", None)
    assert current(config, tmp_path / "data") == manifest
    (tmp_path / "d/a.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    assert current(config, tmp_path / "data") is None


def test_the_same_rows_in_any_form_make_the_same_shards(tmp_path: Path) -> None:
    rows = [{"instruction": f"{n}번째 질문입니다.", "output": f"{n}번째 답입니다."} for n in range(40)]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    forms = {
        "a.jsonl": lines.encode(),
        "b.json": json.dumps(rows, indent=1).encode(),
        "c.jsonl": lines.encode("cp949"),
    }
    made = []
    for name, content in forms.items():
        (tmp_path / name).write_bytes(content)
        entry = {"source": "alpaca", "path": str(tmp_path / name)}
        config = load_config(write_config(tmp_path / "data.yaml", entry, quality=OFF))
        made.append(build(config, tmp_path / f"out-{name}").fingerprint)
    assert len(set(made)) == 1


def test_small_files_share_chunks_and_make_the_shards_of_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"instruction": f"{n}번째 질문입니다.", "output": f"{n}번째 답입니다."} for n in range(60)]
    write_jsonl(tmp_path / "one/a.jsonl", rows)
    for number, row in enumerate(rows[:-1]):
        write_jsonl(tmp_path / f"many/{number}.jsonl", [row])
    (tmp_path / "many/x.csv").write_text(
        "instruction,output\n59번째 질문입니다.,59번째 답입니다.\n", encoding="utf-8"
    )
    monkeypatch.setattr(inputs, "CHUNK_BYTES", 4_000)
    found = find_input(Location(path=str(tmp_path / "many")), str(tmp_path))
    assert found.files == 60
    assert len(found.chunks) == 2
    assert found.chunks[-1].columns == ("instruction", "output")
    made = []
    for name in ("one", "many"):
        entry = {"source": "alpaca", "path": str(tmp_path / name)}
        config = load_config(write_config(tmp_path / "data.yaml", entry, quality=OFF))
        made.append(build(config, tmp_path / f"out-{name}").fingerprint)
    assert made[0] == made[1]


@pytest.mark.parametrize(("limit", "fails"), [(None, True), (0.5, True), (0.6, False), (1.0, False)])
def test_a_source_that_loses_most_rows_to_broken_input_fails_unless_that_is_allowed(
    tmp_path: Path, limit: float | None, fails: bool
) -> None:
    good = [LINE.strip(), '{"instruction": "둘", "output": "나"}'.encode()]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*good, b"{", b"{", b"7"]))
    allowed = {} if limit is None else {"max_rejected": limit}
    entry = {"source": "alpaca", "path": str(tmp_path / "a.jsonl")} | allowed
    config = load_config(write_config(tmp_path / "data.yaml", entry, quality=OFF))
    if fails:
        said = r"3 of 5 rows cannot be read, 2 of them for: broken JSON; .*`max_rejected`, which is 0\.5"
        with pytest.raises(UserError, match=rf"a\.jsonl: {said}"):
            build(config, tmp_path / "data")
    else:
        assert build(config, tmp_path / "data").sources[0].kept == 2


def test_rows_that_are_dropped_otherwise_do_not_count_as_broken(tmp_path: Path) -> None:
    unfit = [{"instruction": "같은 질문", "output": "같은 답"}] * 8 + [{"output": "x"}]
    write_jsonl(tmp_path / "a.jsonl", [*unfit, ROW])
    entry = {"source": "alpaca", "path": str(tmp_path / "a.jsonl"), "max_rejected": 0.0}
    config = load_config(write_config(tmp_path / "data.yaml", entry, quality=OFF))
    assert build(config, tmp_path / "data").sources[0].read == 10
