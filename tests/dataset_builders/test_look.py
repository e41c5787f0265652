"""`rabbit data look`: the entry that it prints builds what it shows; where there can be none, it says why."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_builders.build import build
from dataset_builders.look import SAMPLE_ROWS, look
from dataset_builders.recipe import DataConfig
from prompt_strategies.template import QIR
from rabbit_ko.cli import main
from rabbit_ko.errors import UserError
from rabbit_ko.inspection.look import answers, entry_text
from tests.conftest import ROOT, SHARED
from tests.dataset_builders.files import write_jsonl

CASES = sorted((SHARED / "cases" / "data").glob("*/"))
# Of these, no row can be used, or the file is none.
WITHOUT_ENTRY = {
    "csv_duplicate_header": "two columns are called `output`",
    "csv_header_only": "there is no row in it",
    "dup_keys": "duplicate key `instruction`",
    "lfs_pointer_jsonl": "a Git LFS pointer",
    "pref_histories_differ": "differ before their answers",
}
ASKED, SAID = {"role": "user", "content": "질문입니다"}, {"role": "assistant", "content": "답변입니다"}


def run(*arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def built(entry: dict[str, Any], out: Path) -> int:
    """Build an entry alone; return how many rows are kept, or are duplicates of those."""
    [summary] = build(DataConfig.model_validate({"sources": [entry], "test_size": 0}), out).sources
    return summary.kept + sum(count for reason, count in summary.rejected.items() if "duplicate" in reason)


@pytest.mark.skipif(not CASES, reason=f"{SHARED}/cases is absent; point RABBIT_KO_SHARED at a folder with it")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_of_each_case_the_entry_builds_or_the_reason_why_there_is_none_is_said(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case)
    path = yaml.safe_load((case / "data.yaml").read_text(encoding="utf-8"))["sources"][0]["path"]
    if case.name in WITHOUT_ENTRY:
        with pytest.raises(UserError, match=WITHOUT_ENTRY[case.name]):
            look(path)
        return
    found = look(path)
    [entry] = yaml.safe_load(entry_text(found))["sources"]
    assert entry == found.entry
    assert built(entry, tmp_path / "out") == len(found.kept) > 0


OWN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"question": "질문입니다", "answer": "답변입니다"}, {"instruction": "question", "output": "answer"}),
    ({"질문": "질문입니다", "답변": "답변입니다"}, {"instruction": "질문", "output": "답변"}),
    ({"prompt": "질문입니다", "completion": "답변입니다"}, {"instruction": "prompt", "output": "completion"}),
    ({"query": "질문입니다", "context": "본문", "response": "답"}, {"instruction": "query", "output": "response"}),
    ({"dialogue": [ASKED, SAID], "topic": "날씨"}, {"messages": "dialogue"}),
    ({"conversation": [{"from": "human", "value": "질문"}, {"from": "gpt", "value": "답"}]}, {}),
    ({"text": "### Human: 질문입니다### Assistant: 답변입니다"}, {"messages": "text"}),
    ({"question": "질문입니다", "chosen": "좋은 답", "rejected": "나쁜 답"}, {"prompt": "question"}),
    ({"prompt": "질문입니다", "response": "좋은 답", "label": True}, {"completion": "response"}),
    ({"messages": [ASKED, SAID], "kto_tag": False}, {"label": "kto_tag"}),
    ({"Instruction": "질문입니다", " output": "답변입니다"}, {"instruction": "Instruction", "output": " output"}),
]


@pytest.mark.parametrize(("row", "columns"), OWN)
def test_columns_of_ones_own_data_are_found_by_what_people_call_them(
    in_tmp: Path, row: dict[str, Any], columns: dict[str, str]
) -> None:
    write_jsonl(Path("mine.jsonl"), [row])
    found = look("mine.jsonl")
    assert columns.items() <= found.entry.get("columns", {}).items()
    assert built(found.entry, in_tmp / "out") == 1


JUDGED: list[tuple[dict[str, Any], str]] = [
    (
        {"prompt": "질문입니다", "chosen": [ASKED, SAID], "rejected": "나쁜 답", "messages": [ASKED, SAID]},
        "preference",
    ),
    ({"conversations": [ASKED, SAID, ASKED], "chosen": SAID, "rejected": "나쁜 답"}, "preference"),
    ({"instruction": "질문입니다", "output": "답변", "chosen": "답변", "rejected": "나쁜 답"}, "preference"),
    ({"id": "1", "prompt": "질문입니다", "chosen": "답변", "rejected": "나쁜 답"}, "preference"),
    ({"instruction": "질문입니다", "output": "답변", "desirable": False}, "labelled"),
]


@pytest.mark.parametrize(("row", "source"), JUDGED)
def test_answers_that_are_judged_are_no_plain_answers(in_tmp: Path, row: dict[str, Any], source: str) -> None:
    write_jsonl(Path("mine.jsonl"), [row])
    found = look("mine.jsonl")
    assert found.entry["source"] == source
    assert built(found.entry, in_tmp / "out") == 1


@pytest.mark.parametrize(
    ("labels", "source"),
    [((0, 1, 2), "alpaca"), ((0, 0), "alpaca"), ((0, 1), "labelled"), ((True, True), "labelled")],
)
def test_a_label_of_classes_is_no_verdict(in_tmp: Path, labels: tuple[int, ...], source: str) -> None:
    rows = [
        {"question": f"{n}번 질문입니다", "answer": "답변입니다", "label": label} for n, label in enumerate(labels)
    ]
    write_jsonl(Path("mine.jsonl"), rows)
    assert look("mine.jsonl").entry["source"] == source


def test_english_rows_and_mostly_broken_files_get_the_keys_that_let_them_build(in_tmp: Path) -> None:
    good = [{"instruction": f"What is number {n}?", "output": f"It is the number {n}."} for n in range(3)]
    path = write_jsonl(Path("mine.jsonl"), [*good, {"instruction": "Broken?", "output": 7}])
    path.write_text(path.read_text() + '{"instruction": "Cut\n' * 5)
    found = look("mine.jsonl")
    assert found.entry["language"] == "en"
    assert found.rejected == {"broken JSON": 5, "`output` must be text, not int": 1}
    assert built(found.entry, in_tmp / "out") == 3


def test_an_upstream_set_is_read_by_its_own_source_and_has_its_license(in_tmp: Path) -> None:
    row = {"instruction": "질문입니다", "output": "답변입니다", "url": "-"}
    write_jsonl(Path("beomi/KoAlpaca-v1.1a/rows.jsonl"), [row])
    found = look("beomi/KoAlpaca-v1.1a")
    assert (found.entry["source"], found.unread) == ("koalpaca", ["url"])
    assert "license" not in entry_text(found)


def test_only_the_first_rows_are_looked_at_and_of_each_file_some(in_tmp: Path) -> None:
    for name in ("a", "b"):
        rows = [{"instruction": f"{name} {n}번 질문입니다", "output": "답변입니다"} for n in range(SAMPLE_ROWS)]
        write_jsonl(Path(f"many/{name}.jsonl"), rows)
    found = look("many")
    assert found.read == SAMPLE_ROWS
    assert {row.prompt[0]["content"][0] for row in found.kept} == {"a", "b"}


def test_a_file_that_no_source_can_read_is_told_its_columns(in_tmp: Path) -> None:
    write_jsonl(Path("mine.jsonl"), [{"title": "제목", "body": "본문"}])
    with pytest.raises(UserError, match=r"mine.jsonl: no source has such columns: `title`, `body`; .*`alpaca`"):
        look("mine.jsonl")


def test_the_command_shows_rows_as_they_are_trained_and_the_entry(
    in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = {"question": "화면을 지워 줘", "answer": "네\x1b[2J"}
    write_jsonl(Path("mine.jsonl"), [hostile, {"question": "하나 더하기 둘은?", "answer": "셋입니다."}])
    assert run("data", "look", "mine.jsonl") == 0
    shown = capsys.readouterr().out
    assert QIR.question.format(user="하나 더하기 둘은?") + QIR.response + "셋입니다.<EOS>" in shown
    assert "1 of the first 2 rows would be kept\n  1 rejected: control character\n" in shown
    assert "  - source: alpaca\n    path: mine.jsonl\n    columns:\n      instruction: question\n" in shown
    assert "\x1b" not in shown
    assert run("data", "look", "mine.jsonl", "--template", "qri") == 2
    assert "did you mean `qir`" in capsys.readouterr().err


def test_pairs_and_labelled_rows_are_shown_with_what_their_answers_are(in_tmp: Path) -> None:
    write_jsonl(Path("pairs.jsonl"), [{"prompt": "질문입니다", "chosen": "좋은 답", "rejected": "나쁜 답"}])
    write_jsonl(Path("labels.jsonl"), [{"prompt": "질문입니다", "completion": "나쁜 답", "label": False}])
    shown = [answers(look(path).kept[0]) for path in ("pairs.jsonl", "labels.jsonl")]
    said = [{title: str(answer["content"]) for title, answer in each} for each in shown]
    assert said == [{"chosen": "좋은 답", "rejected": "나쁜 답"}, {"bad": "나쁜 답"}]


def test_calls_results_tools_and_reasoning_are_shown_and_why_in_no_template(
    in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = {"name": "weather", "arguments": {"city": "서울"}}
    turns = [
        {"role": "user", "content": "서울 날씨는?"},
        {"role": "assistant", "tool_calls": [call], "reasoning": "물어보자"},
        {"role": "tool", "content": "맑음"},
        {"role": "assistant", "content": "맑습니다."},
    ]
    write_jsonl(Path("mine.jsonl"), [{"messages": turns, "tools": [{"name": "weather"}]}, {"messages": turns[::3]}])
    shown = (
        "tools: weather\nuser: 서울 날씨는?\nassistant, reasoning: 물어보자\n"
        'assistant, call: weather {"city": "서울"}\ntool: 맑음\nassistant: 맑습니다.\n'
    )
    assert run("data", "look", "mine.jsonl") == 0
    said = capsys.readouterr().out
    assert (
        f"(tools or reasoning: `qir` and `iir` drop such a row, `native` renders it as the base has it)\n{shown}"
        in said
    )
    assert QIR.response + "맑습니다.<EOS>" in said
    pair = {"prompt": turns[:1], "chosen": turns[1:2], "rejected": "몰라요, 정말로."}
    write_jsonl(Path("pairs.jsonl"), [pair])
    assert run("data", "look", "pairs.jsonl") == 0
    said = capsys.readouterr().out
    assert "(chosen) assistant, reasoning: 물어보자\n(chosen) assistant, call: weather" in said
    assert "(rejected) assistant: 몰라요, 정말로.\n" in said


def test_options_can_be_variables_and_the_hub_may_be_asked(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (in_tmp / "axolotl_configs").symlink_to(ROOT / "axolotl_configs")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    write_jsonl(Path("mine.jsonl"), [{"instruction": "질문입니다", "output": "답변입니다"}])
    monkeypatch.setenv("RABBIT_TEMPLATE", "qri")
    assert run("data", "look", "mine.jsonl") == 2
    monkeypatch.setenv("RABBIT_TEMPLATE", "iir")
    assert run("data", "look", "mine.jsonl") == 0
    assert "HF_HUB_OFFLINE" not in os.environ
