"""`make bench WHAT=data`: the rows that it generates, what it measures, and its tables. Timings are not tested."""

import json
import re
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

from rabbit_ko.benchmarks import corpus
from rabbit_ko.benchmarks.build_speed import CONTENDERS, build_table, commands, measure
from rabbit_ko.benchmarks.goals import Results, build_goals
from rabbit_ko.cli import main
from tests.conftest import ROOT

COUNT = 20_000
MB = 7_000_000


@pytest.fixture(scope="module")
def koalpaca() -> list[corpus.Row]:
    return list(corpus.koalpaca(COUNT))


def test_a_seed_gives_the_same_rows_and_fewer_are_the_beginning_of_more(koalpaca: list[corpus.Row]) -> None:
    assert list(corpus.koalpaca(12_345)) == koalpaca[:12_345]
    assert list(corpus.koalpaca(100, seed=1)) != koalpaca[:100]
    assert list(corpus.guanaco(50)) == list(islice(corpus.guanaco(60), 50))


def test_rows_have_the_shape_of_koalpaca(koalpaca: list[corpus.Row]) -> None:
    assert len(koalpaca) == COUNT
    assert all(list(row) == ["instruction", "output", "url"] for row in koalpaca)
    sizes = [len(json.dumps(row, ensure_ascii=False).encode()) for row in koalpaca]
    assert 1_050 < np.mean(sizes) < 1_250
    assert np.quantile(sizes, 0.99) > 2.5 * np.median(sizes)
    assert len({word for row in koalpaca for word in row["output"].split()}) > 10_000


def test_every_fault_is_planted_as_often_as_it_should_be(koalpaca: list[corpus.Row]) -> None:
    questions = {row["question"] for row in corpus.questions()}
    outputs = [row["output"] for row in koalpaca]
    pairs = Counter((row["instruction"], row["output"]) for row in koalpaca)
    found = {
        "exact duplicate": COUNT - len(pairs),
        "near duplicate": len(pairs) - len({question for question, _ in pairs}),
        "contaminated": sum(any(question in row["instruction"] for question in questions) for row in koalpaca),
        "refusal": sum("AI 언어 모델로서" in output for output in outputs),
        "repetition": sum(output.count(output[:15]) >= 40 for output in outputs if output),
        "not Korean": sum(not re.search("[가-힣]", row["instruction"]) for row in koalpaca),
        "control character": sum("\b" in output for output in outputs),
        "decomposed": sum(bool(re.search("[\u1100-\u11ff]", output)) for output in outputs),
        "empty": outputs.count(""),
        "short": outputs.count("네."),
        "long": sum(len(output) > 50_000 for output in outputs),
        "arithmetic": sum(output.startswith("2 * ") for output in outputs),
        "fake turn": sum("### Response:" in output for output in outputs),
    }
    assert found.keys() == corpus.FAULTS.keys()
    for fault, share in corpus.FAULTS.items():
        assert 0.6 < found[fault] / (share * COUNT) < 1.5 or abs(found[fault] - share * COUNT) < 4, (fault, found)
        assert found[fault], fault


def test_conversations_have_one_to_five_exchanges() -> None:
    conversations = list(corpus.guanaco(5_000))
    assert all(list(row) == ["text", "id"] for row in conversations)
    assert len({row["id"] for row in conversations}) == 5_000
    speakers = [re.findall("### (Human|Assistant):", row["text"]) for row in conversations]
    assert {len(turns) // 2 for turns in speakers} == {1, 2, 3, 4, 5}
    assert all(turns == ["Human", "Assistant"] * (len(turns) // 2) for turns in speakers)


def test_memory_is_that_of_the_whole_process_tree() -> None:
    hold = "import time; held = bytearray(b'x') * {} ; time.sleep(1)"
    child = f"subprocess.Popen([sys.executable, '-c', {hold.format(80_000_000)!r}], start_new_session=True).wait()"
    script = f"import subprocess, sys; held = bytearray(b'x') * 60_000_000; {child}"
    seconds, peak_bytes = measure([sys.executable, "-c", script])
    assert 140e6 < peak_bytes < 250e6
    assert seconds >= 1


def test_a_contender_that_fails_stops_the_benchmark_and_leaves_nothing_behind(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    sleeper = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    script = (
        f"import subprocess, sys; print({sleeper}.pid, file=open({str(note)!r}, 'w'), flush=True); sys.exit('oh no')"
    )
    with pytest.raises(RuntimeError, match=r"(?s)exit 1.*oh no"):
        measure([sys.executable, "-c", script])
    state = Path(f"/proc/{int(note.read_text())}/stat")
    deadline = monotonic() + 300
    while state.exists() and state.read_text().split()[2] != "Z":
        assert monotonic() < deadline, "the sleeper is still alive"
        sleep(0.01)


def test_ratios_are_medians_of_each_rounds_and_what_cannot_run_says_why() -> None:
    results = {
        "plain": ([1.0, 2.0, 4.0], MB, 90),
        "pyarrow copy in blocks": ([3.0, 2.0, 2.0], MB, 0),
        "datasets.map": ([1.0, 1.0, 1.0], MB, 0),
        "convmerge convert": ([], 0, 0),
    }
    lines = build_table(100, results).splitlines()
    assert lines[2:] == [
        "| plain | 1.00 | - | 50 | 100 to 25 | - | 7 MB | 90 |",
        "| pyarrow copy in blocks | 1.00 | - | 50 | 50 to 33 | - | 7 MB | 0 |",
        "| datasets.map | 0.50 | - | 100 | 100 to 100 | - | 7 MB | 0 |",
        "| convmerge convert | - | - | `pip install 'convmerge[quality]'` | - | - | - | - |",
    ]
    assert {line.count("|") for line in lines} == {9}


def test_the_exponent_of_time_is_that_of_the_medians() -> None:
    before, after = {"plain": ([1.0, 1.0, 9.0], MB, 9)}, {"plain": ([20.0, 90.0, 20.0], MB, 9)}
    assert build_table(1_000, after, 100, before).splitlines()[2].split(" | ")[5] == "1.30"


def test_goals_stand_beside_what_was_reached_and_what_is_missed_is_named() -> None:
    few: Results = {
        "plain": ([1.0, 1.0], 300 * MB // 7, 0),
        "gates": ([2.0, 2.0], 900 * MB // 7, 0),
        "datasets.map": ([2.0, 4.0], MB, 0),
        "convmerge convert": ([2.0, 2.0], MB, 0),
        "convmerge convert in one process": ([0.9, 0.9], MB, 0),
        "convmerge all steps": ([9.0, 9.0], MB, 0),
    }
    many: Results = few | {
        "plain": ([9.0, 11.0], MB, 0),
        "gates": ([30.0, 30.0], MB, 0),
        "convmerge all steps": ([], 0, 0),
    }
    lines = build_goals({100: few, 1_000: many}).splitlines()
    assert lines[0] == "| | goal | 100 rows | 1,000 rows |"
    assert lines[2:] == [
        "| `plain` against datasets.map | more than 1 | 3.00 | 0.29, missed |",
        "| `plain` against convmerge convert | more than 1 | 0.90, missed | 0.09, missed |",
        "| `gates` against convmerge all steps | more than 4 | 4.50 | - |",
        "| peak memory of `plain` | at most 800 MB | 300 MB | 7 MB |",
        "| exponent of time in rows of `plain` | at most 1.05 | - | 1.00 |",
        "| peak memory of `gates` | at most 800 MB | 900 MB, missed | 7 MB |",
        "| exponent of time in rows of `gates` | at most 1.05 | - | 1.18, missed |",
    ]


@pytest.mark.slow
def test_a_tiny_run_prints_a_table_for_each_corpus(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    asked = ["--what", "data", "--rows", "300,600", "--conversations", "200", "--rounds", "1"]
    with pytest.raises(SystemExit) as ended:
        main(["bench", *asked, "--only", "plain,gates,pyarrow copy in blocks"])
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "cores" in printed.splitlines()[0]
    tables = printed.split("\n\n")[1:]
    assert [title.split(" rows, ")[0] for title in tables[::2]] == [
        "koalpaca, 300",
        "koalpaca, 600",
        "guanaco_ko, 200",
        "Goals:",
    ]
    assert "peak memory of `gates`" in tables[-1]
    for rows, table in zip((300, 600, 200), tables[1:7:2], strict=True):
        cells = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
        left = {line[0]: int(line[-1].replace(",", "")) for line in cells}
        assert left["pyarrow copy in blocks"] == rows
        assert 0.9 * rows < left["gates"] <= left["plain"] <= rows
        assert all(int(line[-2].removesuffix(" MB")) for line in cells)
        assert (cells[0][5] == "-") == (rows != 600)
        assert rows != 600 or left["gates"] < left["plain"], "the gates had nothing to do"
    assert not Path("runs/bench/built").exists()


def test_every_contender_has_commands(tmp_path: Path) -> None:
    for name in CONTENDERS:
        steps = commands(name, "koalpaca", Path("rows.jsonl"), Path("questions.jsonl"), tmp_path)
        assert steps, name
        for command in steps:
            assert command[:2] == [sys.executable, "-m"], name
            assert not any("{" in word for word in command), name


@pytest.mark.parametrize(
    "arguments",
    [["--what", "nothing"], ["--what", "data", "--rows", "many"], ["--what", "tokenize", "--rows", "0"]],
)
def test_wrong_usage_exits_with_two(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *arguments])
    assert ended.value.code == 2


def test_a_contender_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--what", "data", "--only", "gate"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: --only: there is no contender `gate`; did you mean `gates`?\n"
