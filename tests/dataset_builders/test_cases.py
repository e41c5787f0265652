"""The shared cases on files, built as they stand: what their README says that a user has a right to."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builders.build import build
from dataset_builders.manifest import SourceSummary
from dataset_builders.recipe import load_config
from dataset_builders.strict import RENAMED
from rabbit_ko.errors import UserError
from tests.dataset_builders.files import read_rows

CASES = Path(os.environ.get("RABBIT_KO_SHARED", "../shared")).absolute() / "cases/data"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not at hand; see RABBIT_KO_SHARED")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Where a case is built."""
    before = Path.cwd()
    yield tmp_path / "data"
    os.chdir(before)


def build_case(name: str, data: Path, **options: Any) -> SourceSummary:
    """Build a case from inside its folder, with the names that keys have now."""
    os.chdir(CASES / name)
    given = yaml.safe_load(Path("data.yaml").read_text(encoding="utf-8"))
    config = _renamed(given) | {"test_size": 0.0}
    config["sources"] = [_renamed(entry) | options for entry in config["sources"]]
    path = data.with_name("data.yaml")
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    [summary] = build(load_config(path), data).sources
    assert summary.read == summary.kept + sum(summary.rejected.values())
    return summary


def _renamed(given: dict[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(key, key): value for key, value in given.items()}


def contents(data: Path) -> set[str]:
    """Return all that the kept messages say."""
    return {message["content"] for row in read_rows(data, "sft") for message in row["messages"]}


@pytest.mark.parametrize(
    ("name", "rows", "notes"),
    [
        ("json_list", 3, []),
        ("pretty_messages", 3, ["c.jsonl: read as JSON objects over several lines"]),
        ("list_one_object_per_line", 200, ["c.jsonl: read as one JSON list"]),
        ("folder_json_and_jsonl", 3, []),
        ("folder_gz_and_jsonl", 3, []),
        ("csv_folder_one_header_only", 1, []),
        ("csv_cr_only", 3, []),
        ("csv_header_quote", 2, []),
        ("pq_9999_kst", 2, []),
        ("pq_bad_tz", 2, []),
        ("cp949_csv", 3, ["faq.csv: read as CP949"]),
        ("cp949_jsonl", 3, ["faq.jsonl: read as CP949"]),
        ("utf16_csv", 3, ["faq.csv: read as UTF-16"]),
        ("nfd_header_csv", 3, []),
        ("nfd_path", 1, []),
    ],
)
def test_a_file_is_read_with_every_row(data: Path, name: str, rows: int, notes: list[str]) -> None:
    summary = build_case(name, data)
    assert (summary.read, summary.kept, summary.rejected) == (rows, rows, {})
    assert summary.notes == notes


@pytest.mark.parametrize(
    "name",
    [
        "json_list",
        "csv_cr_only",
        "cp949_csv",
        "cp949_jsonl",
        "utf16_csv",
        "folder_json_and_jsonl",
        "folder_gz_and_jsonl",
    ],
)
def test_what_is_read_says_the_same_in_every_form(data: Path, name: str) -> None:
    build_case(name, data)
    said = contents(data)
    assert len(said) == 6
    assert {"대한민국의 수도는 어디인가요?", "대한민국의 수도는 서울특별시입니다."} < said
    assert "다음을 요약하세요.\n\n봄에는 벚꽃이 핀다." in said


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("csv_header_only", r"faq\.csv: of 0 rows none is left; dropped: -$"),
        ("csv_duplicate_header", r"c\.csv: two columns are called `output`; rename one"),
        ("dup_keys", r"c\.jsonl: of 1 rows none is left; dropped: 1 duplicate key `instruction`"),
        ("lfs_pointer_jsonl", r"d\.jsonl: no \.jsonl file, but a Git LFS pointer; fetch the file itself"),
    ],
)
def test_what_cannot_be_read_is_one_line(data: Path, name: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        build_case(name, data)
    assert "\n" not in str(caught.value)


def test_one_bad_value_costs_one_row_where_it_is_read_and_none_where_nothing_reads_it(data: Path) -> None:
    unread = build_case("pq_one_bad_utf8_of_many", data)
    read = build_case("pq_one_bad_utf8_of_many", data, columns={"system": "memo"})
    assert (unread.read, read.read) == (6, 6)
    assert (unread.rejected.get("broken unicode"), read.rejected.get("broken unicode")) == (None, 1)


@pytest.mark.parametrize(("name", "kept"), [("pq_nan_input", 5), ("alpaca_nan", 2)])
def test_a_missing_value_is_a_missing_value(data: Path, name: str, kept: int) -> None:
    assert build_case(name, data).kept == kept
    assert not [said for said in contents(data) if "nan" in said.lower()]
