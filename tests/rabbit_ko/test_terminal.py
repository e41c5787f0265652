"""What other libraries say is in a log; the terminal shows what is done, and how far it is."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from rabbit_ko.errors import printable
from rabbit_ko.terminal import Terminal, say, say_json, show, silence

CODE = """
import os, subprocess, sys, time, warnings
from pathlib import Path
from tqdm import tqdm
from rabbit_ko.terminal import aside
with aside(Path("logs/log.txt"), "sft, kobest", debug=len(sys.argv) > 1):
    print("an answer", flush=True)
    warnings.warn("of a library")
    subprocess.run(["sh", "-c", "echo of a child >&2"])
    os.chdir("/")
    for _ in tqdm(range(4), desc="Requests"):
        time.sleep(0.3)
print("of the command", file=sys.stderr)
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the code in a process without a terminal."""
    return subprocess.run([sys.executable, "-c", CODE, *arguments], cwd=folder, capture_output=True, text=True)


def test_what_others_say_is_in_the_log_and_not_on_the_terminal(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.stdout, result.stderr) == ("an answer\n", "of the command\n")
    log = (tmp_path / "logs/log.txt").read_text(encoding="utf-8")
    for said in ("UserWarning: of a library", "of a child", "Requests: 100%"):
        assert said in log


def test_debug_leaves_it_on_the_terminal(tmp_path: Path) -> None:
    result = run(tmp_path, "debug")
    assert "UserWarning: of a library" in result.stderr
    assert not (tmp_path / "logs").exists()


def test_a_terminal_shows_one_live_line_with_the_time_left(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", CODE], cwd=tmp_path, stderr=theirs, stdout=theirs, env=variables):
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"sft, kobest, Requests [123]/4, 00:0\d left", text)
    assert "of a library" not in text
    assert text.rstrip().endswith("of the command")


def test_silence_takes_warnings_away_and_debugging_keeps_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        silence(debug=True)
        warnings.warn("of a library", stacklevel=1)
        silence()
        warnings.warn("of a library", stacklevel=1)
        logging.getLogger("a.library").warning("of a library")
    assert len(caught) == 1
    assert "of a library" not in capsys.readouterr().err


HOSTILE = "행\x1b]52;c;eA==\x07\r\x00\x7f\x9b2J\u202e뒤\u2028\ud83d\U000e0041[bold]끝"
SHOWN = "행␛]52;c;eA==␇␍␀␡\\u009b2J\\u202e뒤\\u2028\\ud83d\\udb40\\udc41[bold]끝"


def drives(text: str) -> list[str]:
    """The characters that a terminal obeys, or that hide."""
    return [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.mark.hostile
def test_no_character_of_unicode_drives_the_terminal_and_those_that_show_stay() -> None:
    letters = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = printable(letters)
    assert drives(shown) == []
    assert printable("👨\u200d👩\u200d👧, 가\u200d나") == "👨\u200d👩\u200d👧, 가\\u200d나"
    assert printable("가 나\u3000다\xa0라👍🏽é") == "가 나\u3000다\xa0라👍🏽é"
    assert printable(HOSTILE) == SHOWN


@pytest.mark.hostile
def test_lines_tables_and_titles_are_printed_in_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    show(f"# {HOSTILE}")
    table = Table("name", title=HOSTILE)
    table.add_row(HOSTILE)
    Terminal(width=200).print(table)
    Terminal(width=200).print(HOSTILE, Text(printable(HOSTILE), "bold"))
    out = capsys.readouterr().out
    assert drives(out.replace("\n", "")) == []
    assert out.count("[bold]") >= 5


@pytest.mark.hostile
def test_json_drives_no_terminal_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {HOSTILE: ["".join(map(chr, range(0xD800)))]}
    say_json(value, indent=1)
    out = capsys.readouterr().out
    assert drives(out.replace("\n", "")) == []
    assert json.loads(out) == value
