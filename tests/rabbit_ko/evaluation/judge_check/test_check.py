"""The command, with judges at a server: what it finds, leaves and costs."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from rabbit_ko.evaluation.judge.asking import TEMPERATURE
from rabbit_ko.evaluation.judge_check.items import read_items
from tests.loopback import running
from tests.rabbit_ko.evaluation.judge_check.cases import (
    FOLDER,
    check,
    few_items,
    figure,
    judge_of,
    record,
    score,
    shown,
    warnings,
)
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request
from tests.rabbit_ko.evaluation.rabbit import rabbit

# 75 answers three times, six changes of 25 answers, two of 20, and 75 pairs in both orders.
REQUESTS = 75 * 3 + 6 * 25 + 2 * 20 + 75 * 2
RIGHT = {"English": -5.0, "mixed": -3.0}


def page_of_few() -> bytes:
    """The page on some of the items."""
    [page] = FOLDER.glob("check+few-*.html")
    return page.read_bytes()


def number(text: str, *more: object) -> float:
    """A number from 0 to 1 that depends on a text alone."""
    return int(sha256(repr((text, *more)).encode()).hexdigest()[:8], 16) / 16**8


def test_a_judge_without_a_fault_is_accused_of_none(server: Judge) -> None:
    server.rule = judge_of(RIGHT)
    ran = check(server)
    assert len(server.requests) == REQUESTS
    assert not warnings()
    assert figure("deviation of one answer's scores")["value"] == 0
    assert figure("verdict changes when swapped")["value"] == 0
    assert figure("English")["value"] == -5
    assert (
        figure("pairs ranked right by scores")["value"] == figure("pairs ranked right by comparisons")["value"] == 1
    )
    assert f"{REQUESTS} requests, of about " in ran.stderr
    assert ran.stderr.endswith(f"{FOLDER / 'check.html'}\n")


def test_faults_are_found_out_within_the_intervals(server: Judge) -> None:
    gains = {"said twice": 1.5, "filler": 0.0, "English": 0.0, "mixed": -3.0, "praise": 2.0, "demand": 5.0}
    server.rule = judge_of(gains, lambda text, time: 2 * number(text, time) - 1, lambda text: number(text) < 0.4)
    check(server)
    for name, gain in gains.items():
        low, high = figure(name)["interval"]
        assert low < gain < high, name
    low, high = figure("deviation of one answer's scores")["interval"]
    assert low < (1 / 3) ** 0.5 < high
    low, high = figure("verdict changes when swapped")["interval"]
    swayed = [
        number(answer) < 0.4
        for item in read_items()
        for answer in (item.answers[0], item.answers[0], item.answers[1])
    ]
    assert figure("verdict changes when swapped")["value"] == pytest.approx(sum(swayed) / 75)
    assert low < 0.4 < high
    found = " / ".join(warnings())
    for said in (
        "favours the answer that stands first",
        "saying the same twice",
        "praise of itself",
        "a demand to the judge",
    ):
        assert said in found
    assert "hardly minds an answer in English to a Korean question" in found
    assert "sentences that say nothing" not in found


def test_a_judge_that_always_says_the_same_is_recommended_for_nothing(server: Judge) -> None:
    server.rule = lambda request: score(10) if len(shown(request)) == 1 else Reply("더 나은 답변: A")
    ran = check(server)
    assert {count for by_verdicts in record()["needed"].values() for count in by_verdicts.values()} == {None}
    found = " / ".join(warnings())
    for said in (
        "gives each answer 10 points, whatever is done to it: nothing can be seen",
        "never gives two answers to a question different scores, so no number of questions shows a difference",
        "favours the answer that stands first",
    ):
        assert said in found
    page = (FOLDER / "check.html").read_text(encoding="utf-8")
    assert page.count("so no number of questions shows a difference") == 2
    assert page.count('<td class="n">0.1</td><td class="n">-</td>') == 1
    assert re.search(r"of 0\.1 points +- +-", ran.stdout)
    assert not re.search(r"(\+\d+\.\d+) to \1", page + ran.stdout + str(record()["readings"]))


def test_it_is_asked_as_benches_ask(server: Judge, in_tmp: Path) -> None:
    server.rule = judge_of(RIGHT)
    few = ("--items", str(few_items(in_tmp)))
    check(server, *few, "--repeats", "1")
    assert {request.body["temperature"] for request in server.requests} == {0.0}
    assert record()["variances"]["within"] is None
    assert "was asked once for each answer" in record()["readings"][0]["text"]
    server.requests.clear()
    check(server, *few, "--repeats", "2")
    assert {request.body["temperature"] for request in server.requests} == {TEMPERATURE}
    server.requests.clear()
    check(server, *few, "--repeats", "3")
    assert len(server.requests) == 8 * 3


def test_the_same_command_asks_nothing_again_and_says_the_same(server: Judge, in_tmp: Path) -> None:
    server.rule = judge_of(RIGHT, lambda text, time: number(text, time))
    few = ("--items", str(few_items(in_tmp)))
    first, page = check(server, *few), page_of_few()
    server.requests.clear()
    again = check(server, *few)
    assert not server.requests
    assert again.stdout == first.stdout
    assert "requests" not in again.stderr
    assert page_of_few() == page


def test_scores_of_people_are_compared_with(server: Judge, in_tmp: Path) -> None:
    items = [item.model_copy(update={"human": (8.0, 7.0, 2.0)}) for item in read_items()[:10]]
    file = in_tmp / "people.jsonl"
    file.write_text("\n".join(item.model_dump_json() for item in items))
    server.rule = judge_of(RIGHT, lambda text, time: number(text) - 0.5)
    check(server, "--items", str(file), "--repeats", "1")
    assert figure("rank correlation (Spearman)")["of"] == "30 answers"
    assert figure("rank correlation (Spearman)")["value"] > 0.9
    assert figure("distance of scores")["value"] == pytest.approx(1.0, abs=0.2)
    assert record()["items"] == "people.jsonl"


def test_json_is_the_record(server: Judge, in_tmp: Path) -> None:
    server.rule = judge_of(RIGHT)
    ran = check(server, "--json", "--items", str(few_items(in_tmp)))
    assert json.loads(ran.stdout) == record()
    assert record()["judge"] == MODEL
    assert record()["read"]["pairwise"] == {"wanted": 48, "read": 48, "late": 0, "unreadable": 0, "refused": 0}


def test_one_of_a_thing_is_not_said_to_be_several(server: Judge, in_tmp: Path) -> None:
    item = read_items()[0].model_copy(update={"answers": read_items()[0].answers[:2]})
    server.rule = judge_of(RIGHT, items=[item])
    file = in_tmp / "few.jsonl"
    file.write_text(item.model_dump_json())
    ran = check(server, "--items", str(file), "--repeats", "1")
    assert figure("praise")["of"] == "1 question"
    assert figure("verdict changes when swapped")["of"] == "1 pair"
    page = page_of_few().decode()
    assert "2 answers to 1 question of few.jsonl" in page
    assert "Each answer was judged once." in page
    assert not re.search(r"\b1 (answers|questions|pairs|comparisons|times|requests)\b", page + ran.output)


def test_no_line_is_wider_than_a_terminal_of_eighty_columns(server: Judge) -> None:
    server.rule = judge_of({"demand": 7.0, "said twice": 1.0}, lambda text, time: number(text, time))
    ran = check(server)
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_more_than_may_be_sent_is_refused_before_the_first(server: Judge) -> None:
    ran = check(server, "--max-requests", str(REQUESTS - 1), exit_code=1)
    assert f"MAX_REQUESTS={REQUESTS - 1}: there may be {REQUESTS} requests" in ran.stderr
    assert not server.requests


def test_no_requests_at_all_tell_how_many_it_takes(server: Judge, in_tmp: Path) -> None:
    few = ("--items", str(few_items(in_tmp)), "--repeats", "1")
    told = check(server, *few, "--max-requests", "0")
    assert (told.stdout, told.stderr.count("\n")) == ("", 1)
    assert told.stderr.startswith(f"{8 * (3 + 8 + 6)} requests, of about ")
    assert not server.requests
    assert not [*FOLDER.glob("check*")]
    server.rule = judge_of(RIGHT)
    done = check(server, *few)
    assert check(server, *few, "--max-requests", "0").stdout == done.stdout


def test_no_more_is_sent_than_may_be_though_verdicts_cannot_be_read(server: Judge, in_tmp: Path) -> None:
    rule = judge_of(RIGHT)
    server.rule = lambda request: Reply("글쎄요.") if number(request.text) < 0.2 else rule(request)
    items, most = str(few_items(in_tmp)), 8 * (9 + 8 + 6) + 5
    ran = check(server, "--items", items, "--max-requests", str(most), exit_code=1)
    assert "MAX_REQUESTS" in ran.stderr
    assert len(server.requests) <= most


def test_comparisons_may_take_what_scores_have_left(server: Judge, in_tmp: Path) -> None:
    rule, unread = judge_of(RIGHT), [Reply("글쎄요."), Reply("글쎄요.")]
    server.rule = lambda request: unread.pop() if unread and len(shown(request)) == 2 else rule(request)
    items, needed = str(few_items(in_tmp)), 8 * (9 + 8 + 6)
    check(server, "--items", items, "--max-requests", str(needed + 2), "--concurrency", "1")
    assert len(server.requests) == needed + 2


def test_without_a_judge_it_is_wrong_usage(server: Judge) -> None:
    ran = rabbit("judge-check", "--judge-url", server.url)
    assert ran.exit_code == 2
    assert "who judges?" in ran.stderr


def test_a_url_that_is_none_is_wrong_usage(server: Judge) -> None:
    ran = check(server, "--judge-url", "nope", exit_code=2)
    assert ran.stderr == "error: JUDGE_URL: not the URL of a server; say http://HOST:PORT/v1\n"


def test_two_judges_do_not_share_a_folder(server: Judge, in_tmp: Path) -> None:
    server.rule = judge_of(RIGHT)
    items = str(few_items(in_tmp))
    for name in ("org/judge", "org-judge", "../judge", ".."):
        before = len(server.requests)
        check(server, "--items", items, "--repeats", "1", "--judge-model", name)
        assert len(server.requests) > before
    folders = sorted(path.name for path in Path("runs/judges").iterdir())
    assert len(folders) == 4
    assert all(name[0] != "." for name in folders)
    assert sorted(path.name for path in Path().iterdir()) == ["few.jsonl", "runs"]


def test_what_a_judge_and_items_say_is_text_on_the_page(server: Judge, in_tmp: Path) -> None:
    items = [
        item.model_copy(update={"question": f"<script>alert(1)</script> {item.question}"})
        for item in read_items()[:8]
    ]
    file = in_tmp / "<b>.jsonl"
    file.write_text("\n".join(item.model_dump_json() for item in items))
    rule = judge_of({"demand": 7.0}, items=items)

    def marked_up(request: Request) -> Reply:
        text = rule(request).text or ""
        return Reply(text.splitlines()[-1] if "한 줄만" in request.text else f"<img src=x> {text}")

    server.rule = marked_up
    check(server, "--items", str(file), "--judge-model", "<i>judge</i>")
    [page] = Path("runs/judges").rglob("check*.html")
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text.replace("&lt;script", "")
    assert "<img" not in text
    assert "<i>judge" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_every_answer_is_shown_whole_to_the_judge(server: Judge, in_tmp: Path) -> None:
    server.rule = lambda request: score(5) if len(shown(request)) == 1 else Reply("더 나은 답변: 무승부")
    check(server, "--items", str(few_items(in_tmp)), "--repeats", "1")
    seen = {text for request in server.requests for text in shown(request)}
    assert {answer for item in read_items()[:8] for answer in item.answers} <= seen


def test_no_other_items_rubric_or_repeats_overwrite_a_check(server: Judge, in_tmp: Path) -> None:
    server.rule = judge_of(RIGHT)
    for folder in ("one", "two"):
        (in_tmp / folder).mkdir()
        few = ("--items", str(few_items(in_tmp / folder, 2)))
        check(server, *few)
    check(server, *few, "--rubric", "en", "--repeats", "1")
    names = sorted(re.sub(r"few-\w{6}", "few-HASH", file.name) for file in FOLDER.glob("check*"))
    assert names == sorted(
        f"check+few-HASH{how}.{kind}" for how in ("", "", "+en+1-verdict") for kind in ("html", "json")
    )


def test_verdicts_of_another_server_under_the_same_name_are_told(server: Judge, in_tmp: Path) -> None:
    server.rule = judge_of(RIGHT)
    few = ("--items", str(few_items(in_tmp, 2)))
    assert "note:" not in check(server, *few).stderr
    assert "note:" not in check(server, *few, "--judge-url", f"{server.url}/").stderr
    with running(Judge(judge_of(RIGHT))) as other:
        said = check(other, *few).stderr
        assert not other.requests
    assert f"note: {MODEL}: {server.url} gave verdicts under this name before" in said
