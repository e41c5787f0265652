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

from rabbit_ko.benchmarks import data, rows
from rabbit_ko.benchmarks.contenders import CONTENDERS, Contender, Corpus
from rabbit_ko.benchmarks.measure import Measured, measure
from rabbit_ko.benchmarks.tables import Result, corpus_table, scaling_table
from tests.conftest import ROOT

COUNT = 20_000
CORPUS = Corpus("koalpaca", 100, Path("rows.jsonl"), Path("questions.jsonl"))


@pytest.fixture(scope="module")
def koalpaca() -> list[rows.Row]:
    return list(rows.koalpaca(COUNT))


def test_a_seed_gives_the_same_rows_and_fewer_are_the_beginning_of_more(koalpaca: list[rows.Row]) -> None:
    assert list(rows.koalpaca(12_345)) == koalpaca[:12_345]
    assert list(rows.koalpaca(100, seed=1)) != koalpaca[:100]
    assert list(rows.guanaco(50)) == list(islice(rows.guanaco(60), 50))


def test_rows_have_the_shape_of_koalpaca(koalpaca: list[rows.Row]) -> None:
    assert len(koalpaca) == COUNT
    assert all(list(row) == ["instruction", "output", "url"] for row in koalpaca)
    sizes = [len(json.dumps(row, ensure_ascii=False).encode()) for row in koalpaca]
    assert 1_050 < np.mean(sizes) < 1_250
    assert np.quantile(sizes, 0.99) > 2.5 * np.median(sizes)
    assert len({word for row in koalpaca for word in row["output"].split()}) > 10_000


def test_every_fault_is_planted_as_often_as_it_should_be(koalpaca: list[rows.Row]) -> None:
    questions = {row["question"] for row in rows.questions()}
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
    assert found.keys() == rows.PLANTS.keys()
    for fault, (share, _) in rows.PLANTS.items():
        assert 0.6 < found[fault] / (share * COUNT) < 1.5 or abs(found[fault] - share * COUNT) < 4, (fault, found)
        assert found[fault], fault


def test_conversations_have_one_to_five_exchanges() -> None:
    conversations = list(rows.guanaco(5_000))
    assert all(list(row) == ["text", "id"] for row in conversations)
    assert len({row["id"] for row in conversations}) == 5_000
    speakers = [re.findall("### (Human|Assistant):", row["text"]) for row in conversations]
    assert {len(turns) // 2 for turns in speakers} == {1, 2, 3, 4, 5}
    assert all(turns == ["Human", "Assistant"] * (len(turns) // 2) for turns in speakers)


def test_memory_is_that_of_the_whole_process_tree() -> None:
    hold = "import time; held = bytearray(b'x') * {} ; time.sleep(1)"
    child = f"subprocess.Popen([sys.executable, '-c', {hold.format(80_000_000)!r}], start_new_session=True).wait()"
    script = f"import subprocess, sys; held = bytearray(b'x') * 60_000_000; {child}"
    measured = measure((sys.executable, "-c", script))
    assert 140e6 < measured.peak_bytes < 250e6
    assert measured.seconds >= 1


def test_a_contender_that_fails_stops_the_benchmark_and_leaves_nothing_behind(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    sleeper = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    script = (
        f"import subprocess, sys; print({sleeper}.pid, file=open({str(note)!r}, 'w'), flush=True); sys.exit('oh no')"
    )
    with pytest.raises(RuntimeError, match=r"(?s)exit 1.*oh no"):
        measure((sys.executable, "-c", script))
    state = Path(f"/proc/{int(note.read_text())}/stat")
    deadline = monotonic() + 30
    while state.exists() and state.read_text().split()[2] != "Z":
        assert monotonic() < deadline, "the sleeper lives on"
        sleep(0.01)


def test_ratios_are_medians_of_each_rounds_and_what_cannot_run_says_why() -> None:
    results = [
        _result("plain", [1.0, 2.0, 4.0], rows_out=90),
        _result("copy", [3.0, 2.0, 2.0], "slow"),
        _result("copy", [1.0, 1.0, 1.0], "fast"),
        Result(Contender("absent", "", lambda _corpus, _folder: {}, modules=("no_such_module",))),
        Result(Contender("tardy", "", lambda _corpus, _folder: {}, most_rows=10)),
    ]
    lines = corpus_table(CORPUS, results).splitlines()
    assert lines[2:] == [
        "| plain | 1.00 | - | 50 | 100 to 25 | 7 MB | 90 |",
        "| copy, slow | 1.00 | - | 50 | 50 to 33 | 7 MB | 0 |",
        "| **copy, fast** | 0.50 | - | 100 | 100 to 100 | 7 MB | 0 |",
        "| absent | - | - | `pip install 'convmerge[quality]'` | - | - | - |",
        "| tardy | - | - | not run beyond 10 rows | - | - | - |",
    ]
    assert {line.count("|") for line in lines} == {8}


def test_the_exponent_of_time_is_that_of_the_medians() -> None:
    large = Corpus("koalpaca", 1_000, CORPUS.file, CORPUS.evaluation)
    before, after = [_result("plain", [1.0, 1.0, 9.0])], [_result("plain", [20.0, 90.0, 20.0])]
    table = scaling_table(CORPUS, large, before, after)
    assert table.splitlines()[2:] == ["| plain | 1.30 | 7 MB | 7 MB |"]


def test_a_tiny_run_prints_a_table_for_each_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    only = ["plain", "gates", "pyarrow copy"]
    data.benchmark([300, 600], 200, rounds=1, only=only, out=tmp_path, json_file=tmp_path / "figures.json")
    printed = capsys.readouterr().out
    assert "cores" in printed.splitlines()[0]
    assert [size for size in ("300", "600", "200") if f", {size} rows, " in printed] == ["300", "600", "200"]
    assert printed.count("| plain | 1.00 | ") == printed.count("| gates | ") - 1 == 3
    corpora = json.loads((tmp_path / "figures.json").read_text())["corpora"]
    for corpus in corpora:
        left = {one["name"]: one["rows"] for one in corpus["contenders"]}
        assert left["pyarrow copy"] == corpus["rows"]
        assert 0.9 * corpus["rows"] < left["gates"] <= left["plain"] <= corpus["rows"]
        assert all(
            step["peak_bytes"] for one in corpus["contenders"] for steps in one["rounds"] for step in steps.values()
        )
    koalpaca = {one["name"]: one["rows"] for one in corpora[1]["contenders"]}
    assert koalpaca["gates"] < koalpaca["plain"], "the gates had nothing to do"
    assert not (tmp_path / "built").exists()


def test_every_contender_has_commands(tmp_path: Path) -> None:
    for contender in CONTENDERS:
        steps = contender.steps(CORPUS, tmp_path)
        assert steps, contender.label
        assert all(command[:2] == (sys.executable, "-m") for command in steps.values()), contender.label


def _result(name: str, seconds: list[float], variant: str = "", rows_out: int = 0) -> Result:
    contender = Contender(name, variant, lambda _corpus, _folder: {})
    return Result(contender, [{"build": Measured(time, 7_000_000)} for time in seconds], rows_out)
