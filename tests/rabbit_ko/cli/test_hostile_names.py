"""What names in data and files reach the terminal by: files, ids, columns, reasons, keys of a YAML."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from rabbit_ko.cli import main
from tests.dataset_builders.data_folder import make_data_folder
from tests.dataset_builders.files import write_config, write_jsonl

HOSTILE = "x\x1b]52;c;eA==\x07\r\x9b2J\u202e[bold]"
ROWS = [{"instruction": f"{n}번 질문", "output": f"{n}번 답", HOSTILE: 1} for n in range(9)]


def _file_beside_shards(folder: Path) -> list[str]:
    make_data_folder(folder / "data")
    (folder / "data/sft" / f"{HOSTILE}.parquet").touch()
    return ["verify", str(folder / "data")]


def _folder(folder: Path) -> list[str]:
    make_data_folder(folder / HOSTILE)
    return ["verify", str(folder / HOSTILE)]


def _ids(folder: Path) -> list[str]:
    for name in ("before", "after"):
        write_jsonl(folder / f"{name}.jsonl", [row | {"id": f"{name}{HOSTILE}{row['output']}"} for row in ROWS])
        write_config(folder / f"{name}.yaml", {"source": "koalpaca", "path": str(folder / f"{name}.jsonl")})
        with pytest.raises(SystemExit):
            main(["data", "--config", str(folder / f"{name}.yaml"), "--out", str(folder / name)])
    return ["diff", str(folder / "before"), str(folder / "after")]


def _columns(folder: Path) -> list[str]:
    write_jsonl(folder / f"{HOSTILE}.jsonl", ROWS)
    return ["data", "look", str(folder / f"{HOSTILE}.jsonl")]


def _rows(folder: Path) -> list[str]:
    write_jsonl(folder / "rows.jsonl", [{"instruction": f"질문{HOSTILE}", "output": f"답{HOSTILE}"}, *ROWS])
    return ["data", "look", str(folder / "rows.jsonl")]


def _key(folder: Path) -> list[str]:
    (folder / "data.yaml").write_text('"k\\x1b]52;c;eA==\\a\\r\\u202e": 1\n', encoding="utf-8")
    return ["data", "--config", str(folder / "data.yaml"), "--out", str(folder / "out")]


def _judged(folder: Path) -> list[str]:
    write_jsonl(folder / f"{HOSTILE}.jsonl", [{"id": HOSTILE, "category": HOSTILE}])
    return ["score", str(folder / f"{HOSTILE}.jsonl")]


@pytest.mark.hostile
@pytest.mark.parametrize("made", [_file_beside_shards, _folder, _ids, _columns, _rows, _key, _judged])
def test_no_name_in_data_drives_the_terminal(
    tmp_path: Path, made: Callable[[Path], list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    call = made(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(call)
    said = "".join(capfd.readouterr())
    assert ended.value.code in (0, 1)
    assert "fault of this project" not in said
    assert [letter for letter in said if unicodedata.category(letter) in ("Cc", "Cf") and letter not in "\n\t"] == []
