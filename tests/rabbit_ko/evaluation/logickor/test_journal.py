"""A journal keeps each record whole, whatever happens to the one before or to the disk."""

import errno
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.logickor import journal as journal_module
from rabbit_ko.evaluation.logickor.journal import Journal, locked


def test_records_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    assert list(journal.records()) == []
    records: list[dict[str, Any]] = [{"text": "가\n나\u2028다"}, {"text": ""}, {"number": 1.5}]
    for record in records:
        journal.append(record)
    assert list(journal.records()) == records


@given(st.integers(min_value=0), st.booleans())
def test_a_torn_line_is_ignored_and_does_not_take_the_next_one_with_it(cut: int, has_end: bool) -> None:
    line = json.dumps({"text": "한국어 문장"}, ensure_ascii=False).encode()
    torn = line[: cut % len(line)] + (b"\n" if has_end else b"")
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "a.jsonl")
        journal.file.write_bytes(b'{"text": "first"}\n' + torn)
        journal.append({"text": "next"})
        assert list(journal.records()) == [{"text": "first"}, {"text": "next"}]


class FullDisk:
    """A disk that has no more space while the spare file is there, and after it for so many records."""

    def __init__(self, journal: Journal, for_records: int) -> None:
        self.journal, self.left, self.append = journal, for_records, journal_module._append

    def __call__(self, file: Path, line: bytes) -> None:
        if self.journal.spare.exists() or not self.left:
            with file.open("ab") as out:
                out.write(line[: len(line) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.left -= 1
        self.append(file, line)


def test_on_a_full_disk_the_records_under_way_go_into_the_spare_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "deep/a.jsonl")
    with journal.with_spare_space():
        journal.append({"number": 0})
        monkeypatch.setattr(journal_module, "_append", FullDisk(journal, for_records=2))
        with pytest.raises(UserError, match=r"a\.jsonl: No space left on device; what has come is kept"):
            journal.append({"number": 1})
        journal.append({"number": 2})
        with pytest.raises(UserError, match="No space left"):
            journal.append({"number": 3})
    assert [record["number"] for record in journal.records()] == [0, 1, 2]
    assert not journal.spare.exists()


def test_without_spare_space_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    journal = Journal(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match=r"a\.jsonl: No space left on device"), journal.with_spare_space():
        pytest.fail("begun")
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_in_a_folder_says_so_and_stops(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "x"),
        pytest.raises(UserError, match="another run is at work here"),
        locked(tmp_path / "x"),
    ):
        pytest.fail("begun")
    with locked(tmp_path / "x"):
        pass
