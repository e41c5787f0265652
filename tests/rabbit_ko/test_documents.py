"""Small files that mean harm are refused in one line, soon, and in little memory."""

import os
import re
import socket
from pathlib import Path

import pytest
import yaml

from dataset_builders.recipe import load_config
from rabbit_ko.documents import YAML_BYTES, read_yaml, regular
from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.judge.questions import Question, read_rows
from rabbit_ko.evaluation.judge.scores import read_judged
from rabbit_ko.publishing.examples import read_picked
from rabbit_ko.recipes import read_config
from tests.conftest import ROOT
from tests.soon import soon

pytestmark = pytest.mark.hostile


def _bomb(of: str) -> str:
    """Nine lists of nine, each of the one before: a gigabyte where it is written out."""
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    lines = (f"- &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairs)
    return "sources:\n- &a [x, x, x, x, x, x, x, x, x]\n" + "".join(lines) + of


def read_questions(path: Path) -> list[Question]:
    return read_rows(path, Question)


FILES = {
    "9,000 keys": ("".join(f"key{number}: 1\n" for number in range(9_000)), "key0: unknown key"),
    "keys twice": ("".join(f"key{number}: 1\n" for number in range(9_000)) + "key9: 1\n", "`key9` stands twice"),
    "an alias bomb": (_bomb(""), "line 7: more than 100,000 values, with what its aliases repeat"),
    "a bomb in a value": (_bomb("- {source: alpaca, path: *i}\n"), "more than 100,000 values"),
    "a value in a message": ("sources: [&a [x, x], [*a, *a]]\nmix_by: {a: " + "x" * 9_000 + "}", "mix_by: "),
    "an alias of itself": ("sources: &a [*a]", "more than 100,000 values"),
    "900 lists": ("sources: " + "[" * 900 + "]" * 900, "nested more than 50 deep"),
    "900 mappings": ("sources: " + "{a: " * 900 + "}" * 900, "nested more than 50 deep"),
    "lists in a chain": (
        "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3_000)),
        "line 51: nested more than 50 deep",
    ),
    "a huge number": ("seed: " + "9" * 5_000, "a number of more than 100 digits"),
    "a number to base 60": ("seed: 1" + ":1" * 50_000, "a number of more than 100 digits"),
    "no date": ("seed: 2001-99-99", "month must be in 1..12"),
    "no boolean": ("seed: !!bool x", "not valid YAML"),
    "a key of a list": ("[a]: 1", "found unhashable key"),
    "65,000 values": ("[" + "a," * 65_000 + "]", "should be a valid dictionary"),
    "a merge": ("a: &a {x: 1}\nsources:\n  <<: *a\n", "not valid YAML"),
    "data": ("- row\n" * (YAML_BYTES // 6 + 1), "larger than 128 kB"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_config_that_means_harm_is_one_line(tmp_path: Path, what: str) -> None:
    text, expected = FILES[what]
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with soon(10), pytest.raises(UserError, match=expected) as error:
        load_config(path)
    assert len(str(error.value)) < 2_000
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
def test_yaml_is_read_in_c_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("yaml.scanner.Scanner.fetch_more_tokens")
    (tmp_path / "a.yaml").write_text("a: [1, 2]")
    assert read_yaml(tmp_path / "a.yaml") == {"a": [1, 2]}


@pytest.mark.parametrize("read", [read_yaml, load_config, read_config, read_picked, read_questions, read_judged])
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_only_regular_files_are_read(in_tmp: Path, read: object, kind: str) -> None:
    path = _special(Path("x.yaml"), kind)
    with pytest.raises(UserError, match="no regular file, but a pipe, a socket or a device"):
        read(path)  # type: ignore[operator]


def test_a_file_a_folder_and_nothing_are_no_pipe(in_tmp: Path) -> None:
    Path("file").touch()
    for path in (Path("file"), Path(), Path("nothing")):
        assert regular(path) == path


def _special(path: Path, kind: str) -> Path:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    return path


def test_yaml_is_read_in_one_place() -> None:
    packages = ("rabbit_ko", "prompt_strategies", "dataset_builders", "axolotl_plugins")
    files = [file for package in packages for file in (ROOT / package).rglob("*.py")]
    found = {file.name for file in files if re.search(r"yaml\.(safe_)?load\(", file.read_text())}
    assert found == {
        "documents.py",
        "build_speed.py",
    }  # one reads its own package's file
