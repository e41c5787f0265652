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
from rabbit_ko.evaluation.journal import append, locked, mend, records


def test_records_come_back_in_order(tmp_path: Path) -> None:
    journal = tmp_path / "a.jsonl"
    assert list(records(journal)) == []
    written: list[dict[str, Any]] = [{"text": "가\n나\u2028다"}, {"text": ""}, {"number": 1.5}]
    for record in written:
        append(journal, record)
    assert list(records(journal)) == written


@given(st.integers(min_value=0), st.booleans())
def test_a_torn_line_is_ignored_and_does_not_take_the_next_one_with_it(cut: int, has_end: bool) -> None:
    line = json.dumps({"text": "한국어 문장"}, ensure_ascii=False).encode()
    torn = line[: cut % len(line)] + (b"\n" if has_end else b"")
    with TemporaryDirectory() as folder:
        journal = Path(folder) / "a.jsonl"
        journal.write_bytes(b'{"text": "first"}\n' + torn)
        append(journal, {"text": "next"})
        assert list(records(journal)) == [{"text": "first"}, {"text": "next"}]


@given(st.integers(min_value=0))
def test_a_torn_line_is_cut_off_and_what_is_whole_stays_byte_by_byte(cut: int) -> None:
    lines = [json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" for text in ("한국어 문장", "다음 문장")]
    with TemporaryDirectory() as folder:
        mend(journal := Path(folder) / "a.jsonl")
        assert not journal.exists()
        cut %= len(lines[1]) + 1
        journal.write_bytes(lines[0] + lines[1][:cut])
        mend(journal)
        # A line that lacks only its end says all.
        assert journal.read_bytes() == lines[0] + (lines[1] if cut >= len(lines[1]) - 1 else b"")


def test_on_a_full_disk_it_is_one_line_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal = tmp_path / "deep/a.jsonl"
    append(journal, {"number": 0})
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_space)
        with pytest.raises(UserError, match=r"a\.jsonl: No space left on device; what has come is kept") as raised:
            append(journal, {"number": 1})
    assert "\n" not in str(raised.value)
    append(journal, {"number": 2})
    numbers = [record["number"] for record in records(journal)]
    assert (numbers[0], numbers[-1]) == (0, 2)


def test_a_second_run_in_a_folder_says_so_and_stops(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "x"),
        pytest.raises(UserError, match="another run is at work here"),
        locked(tmp_path / "x"),
    ):
        pytest.fail("begun")
    with locked(tmp_path / "x"):
        pass
