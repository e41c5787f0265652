"""A judge at a server: what it is asked and how often, what is kept, and the bound that is never exceeded."""

import json
from collections import Counter
from itertools import count

import pytest

from rabbit_ko.errors import UserError
from rabbit_ko.evaluation.judge.asking import Work
from rabbit_ko.evaluation.judge.verdicts import Mode, Verdict
from tests.rabbit_ko.evaluation.judge_server import MODEL, Judge, Reply, Request
from tests.rabbit_ko.pairs.judges.cases import JOURNAL, TEXTS, case, judged, lines, prompt, rubric_judge, shown

SOON = {"Retry-After-Ms": "20"}
GARBAGE = Reply("평가: 좋습니다.")


def by_place(request: Request) -> Reply:
    """Score the texts 9, 7, 5 and 3, and find the earlier one of two better."""
    places = [TEXTS.index(text) for text in shown(request)]
    if len(places) == 1:
        return Reply(f"평가: {places[0]}번입니다.\n점수: {9 - 2 * places[0]}")
    return Reply(f"평가: 봤습니다.\n더 나은 답변: {'A' if places[0] < places[1] else 'B'}")


def test_each_answer_is_asked_for_once_and_has_the_score_that_the_judge_gives(server: Judge) -> None:
    server.rule = by_place
    (found,) = judged(rubric_judge(server), [case()])
    assert found.scores == (9.0, 7.0, 5.0, 3.0)
    assert found.verdicts[1] == Verdict((1,), 7.0, "평가: 1번입니다.\n점수: 7")
    assert len(server.requests) == 4
    assert {request.body["temperature"] for request in server.requests} == {0.0}
    assert {request.body["model"] for request in server.requests} == {MODEL}


def test_each_two_are_compared_in_both_orders(server: Judge) -> None:
    server.rule = by_place
    (found,) = judged(rubric_judge(server, "pairwise"), [case()])
    assert found.scores == (1.0, 2 / 3, 1 / 3, 0.0)
    assert not found.disagreed
    assert Counter(tuple(shown(request)) for request in server.requests) == Counter(
        {(one, other): 1 for one in TEXTS for other in TEXTS if one != other}
    )


@pytest.mark.parametrize(("mode", "requests"), [("score", 12), ("pairwise", 36)])
def test_several_verdicts_are_drawn_with_a_temperature(server: Judge, mode: Mode, requests: int) -> None:
    numbers = count()
    server.rule = lambda request: Reply(f"점수: {4 + next(numbers) % 3}") if mode == "score" else by_place(request)
    (found,) = judged(rubric_judge(server, mode, verdicts=3, concurrency=1), [case()])
    assert found.scores == ((5.0,) * 4 if mode == "score" else (1.0, 2 / 3, 1 / 3, 0.0))
    assert len(server.requests) == requests == len(found.verdicts)
    assert all(request.body["temperature"] > 0 for request in server.requests)


@pytest.mark.parametrize("mode", ["score", "pairwise"])
def test_what_was_judged_is_read_from_the_journal_and_not_asked_for_again(server: Judge, mode: Mode) -> None:
    server.rule = by_place
    first = judged(rubric_judge(server, mode), [case(number) for number in range(3)])
    asked = len(server.requests)
    assert judged(rubric_judge(server, mode), [case(number) for number in range(3)]) == first
    assert len(server.requests) == asked
    assert [*map(json.dumps, lines())] == [*dict.fromkeys(map(json.dumps, lines()))]


def test_the_judgements_do_not_depend_on_the_order_of_the_journal(server: Judge) -> None:
    server.rule = by_place
    first = judged(rubric_judge(server), [case(0), case(1)])
    JOURNAL.write_text("\n".join(reversed(JOURNAL.read_text().splitlines())))
    assert judged(rubric_judge(server), [case(1), case(0)]) == first[::-1]


def test_answers_of_the_same_text_are_one_question(server: Judge) -> None:
    server.rule = by_place
    texts = (TEXTS[0], TEXTS[1], TEXTS[0])
    assert judged(rubric_judge(server), [case(0, texts)])[0].scores == (9.0, 7.0, 9.0)
    assert len(server.requests) == 2
    assert judged(rubric_judge(server, "pairwise"), [case(0, texts)])[0].scores == (0.75, 0.0, 0.75)
    assert len(server.requests) == 4


@pytest.mark.parametrize("changed", ["model", "verdicts", "mode", "reference", "answer"])
def test_whatever_decides_a_verdict_asks_anew(server: Judge, changed: str) -> None:
    server.rule = lambda request: (
        Reply("점수: 3") if "점수:" in request.body["messages"][0]["content"] else by_place(request)
    )
    judge, asked = rubric_judge(server), case(0, TEXTS[:2])
    judged(judge, [asked])
    before, fingerprint = len(server.requests), judge.fingerprint
    if changed == "model":
        judge = rubric_judge(server, model="other")
    elif changed in ("verdicts", "mode"):
        judge = rubric_judge(server, **{changed: {"verdicts": 2, "mode": "pairwise"}[changed]})  # type: ignore[arg-type]
    elif changed == "reference":
        asked = (prompt(0, "서울"), asked[1])
    else:
        asked = case(0, TEXTS[2:])
    judged(judge, [asked])
    assert len(server.requests) - before == (4 if changed == "verdicts" else 2)
    assert (judge.fingerprint != fingerprint) == (changed in ("model", "verdicts", "mode"))


def test_a_verdict_that_cannot_be_read_is_asked_for_again_and_each_reply_is_kept(server: Judge) -> None:
    server.script = [GARBAGE, GARBAGE, Reply("점수: 4")]
    (found,) = judged(rubric_judge(server), [case(0, TEXTS[:1])])
    assert found.scores == (4.0,)
    assert [line["score"] for line in lines()] == [None, None, 4.0]
    assert ["다시" in request.text or "읽을 수 없었습니다" in request.text for request in server.requests] == [
        False,
        True,
        True,
    ]


def test_after_three_attempts_there_is_no_score_and_no_fourth(server: Judge) -> None:
    server.rule = lambda request: GARBAGE if TEXTS[1] in shown(request) else by_place(request)
    for _ in range(2):
        (found,) = judged(rubric_judge(server), [case(0, TEXTS[:2])])
        assert found.scores == (9.0, None)
        assert found.verdicts[1] == Verdict((1,), None, GARBAGE.text or "")
    assert len(server.requests) == 1 + 3 == len(lines())


def test_where_nothing_can_be_read_it_is_an_error_and_nothing_is_asked_anew(server: Judge) -> None:
    server.rule = lambda _: GARBAGE
    for _ in range(2):
        with pytest.raises(
            UserError, match=r"none of its 3 verdicts can be read; the last ends with `평가: 좋습니다.`"
        ):
            judged(rubric_judge(server), [case(0, TEXTS[:1])])
    assert len(server.requests) == 3 == len(lines())


def test_what_is_read_now_and_was_not_then_is_not_asked_for_again(
    server: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.rule = by_place
    with monkeypatch.context() as patch:
        patch.setattr("rabbit_ko.evaluation.judge.asking.read_verdict", lambda *_: None)
        with pytest.raises(UserError, match="none of 12 verdicts in a row can be read"):
            judged(rubric_judge(server), [case()])
    assert judged(rubric_judge(server), [case()])[0].scores == (9.0, 7.0, 5.0, 3.0)
    assert len(server.requests) == 12


def test_attempts_that_a_kill_came_between_count_together(server: Judge) -> None:
    server.script = [Reply("점수: 4"), GARBAGE, GARBAGE, GARBAGE]
    asked = [case(0, TEXTS[:2])]
    judged(rubric_judge(server, concurrency=1), asked)
    JOURNAL.write_text("\n".join(JOURNAL.read_text().splitlines()[:3]))
    server.script = [GARBAGE]
    assert judged(rubric_judge(server), asked)[0].scores == (4.0, None)
    assert len(server.requests) == 5


def test_a_verdict_that_the_server_cut_is_not_read(server: Judge) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "점수: 1"}, "finish_reason": "length"}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice]}
    server.script = [Reply(body=json.dumps(body).encode())]
    server.rule = lambda _: Reply("점수: 10")
    assert judged(rubric_judge(server), [case(0, TEXTS[:1])])[0].scores == (10.0,)
    assert len(server.requests) == 2


def test_one_request_that_is_refused_has_no_score_but_the_reason_and_is_asked_again_by_the_next_run(
    server: Judge,
) -> None:
    server.rule = lambda request: Reply("too long", 400) if TEXTS[1] in shown(request) else by_place(request)
    for _ in range(2):
        (found,) = judged(rubric_judge(server), [case()])
        assert found.scores == (9.0, None, 5.0, 3.0)
        assert "answers 400, too long" in found.verdicts[1].text
    # The second run asks twice: its first request, should its schema be what is wrong, once more without that.
    assert len(server.requests) == 4 + 2


@pytest.mark.parametrize("cases", [1, 40])
def test_a_server_that_refuses_everything_is_one_line_soon_and_leaves_nothing_behind(
    server: Judge, cases: int
) -> None:
    server.rule = lambda _: Reply("unknown parameter", 400)
    with pytest.raises(UserError, match=r"answers 400, unknown parameter.*no verdict could be had"):
        judged(rubric_judge(server), [case(number) for number in range(cases)])
    assert len(server.requests) <= 20
    assert not lines()
    server.rule = by_place
    assert judged(rubric_judge(server), [case()])[0].scores == (9.0, 7.0, 5.0, 3.0)


def test_a_server_that_refuses_everything_from_some_point_on_takes_no_verdict_away(server: Judge) -> None:
    numbers = count()
    server.rule = lambda request: by_place(request) if next(numbers) < 6 else Reply("no", 400)
    with pytest.raises(UserError, match="no verdict could be had"):
        judged(rubric_judge(server, concurrency=1), [case(number) for number in range(10)])
    assert [line["refused"] for line in lines()] == [False] * 6


@pytest.mark.parametrize("mode", ["score", "pairwise"])
def test_a_judge_that_says_nothing_that_can_be_read_is_one_line_soon_that_shows_it(server: Judge, mode: Mode) -> None:
    server.rule = lambda _: GARBAGE
    said = "none of 12 verdicts in a row can be read; the last ends with `평가: 좋습니다.`"
    with pytest.raises(UserError, match=said):
        judged(rubric_judge(server, mode, concurrency=4), [case(number) for number in range(40)])
    assert 12 <= len(server.requests) <= 16
    assert 12 <= len(lines()) <= 16


def test_a_judge_that_cannot_be_read_any_more_is_one_line_and_what_was_read_is_kept(server: Judge) -> None:
    numbers = count()
    server.rule = lambda request: by_place(request) if next(numbers) < 20 else GARBAGE
    with pytest.raises(UserError, match="none of 12 verdicts in a row can be read"):
        judged(rubric_judge(server), [case(number) for number in range(40)])
    # Eleven may come before the last good reply, should that be late, and three be under way at the end.
    assert len(server.requests) <= 20 + 11 + 12 + 3
    assert sum(line["score"] is not None for line in lines()) == 20


def test_verdicts_that_cannot_be_read_now_and_then_end_nothing(server: Judge) -> None:
    numbers = count()
    server.rule = lambda request: GARBAGE if next(numbers) % 4 else by_place(request)
    found = judged(rubric_judge(server, concurrency=1), [case(number) for number in range(8)])
    assert {score is None for each in found for score in each.scores} == {True, False}
    assert len(server.requests) > 40


def test_a_judge_with_a_temperature_of_its_own_is_asked_without_one(server: Judge) -> None:
    refusal = Reply("Unsupported value: 'temperature' does not support 0.0", 400)
    server.rule = lambda request: refusal if "temperature" in request.body else by_place(request)
    assert judged(rubric_judge(server, concurrency=1), [case()])[0].scores == (9.0, 7.0, 5.0, 3.0)
    assert len(server.requests) == 5


def test_more_verdicts_than_may_be_asked_for_are_refused_before_the_first(server: Judge) -> None:
    with pytest.raises(UserError, match="MAX_REQUESTS: 4 verdicts are missing, and 3 requests may be sent"):
        judged(rubric_judge(server), [case()], most=3)
    assert not server.requests


@pytest.mark.parametrize(
    "rule",
    [lambda _: GARBAGE, lambda _: Reply("oops", 500, SOON), lambda _: Reply(drop=True)],
    ids=["garbage", "500", "dropped"],
)
def test_no_more_requests_are_sent_than_may_be_whatever_the_server_does(server: Judge, rule: object) -> None:
    server.rule = rule  # type: ignore[assignment]
    with pytest.raises(UserError, match="MAX_REQUESTS: 6 have been sent, and more are needed; what has come is kept"):
        judged(rubric_judge(server), [case()], most=6)
    assert len(server.requests) == 6


def test_with_as_many_requests_as_are_needed_all_is_judged(server: Judge) -> None:
    server.rule = by_place
    assert judged(rubric_judge(server), [case()], most=4)[0].scores == (9.0, 7.0, 5.0, 3.0)
    assert judged(rubric_judge(server), [case()], most=0)[0].scores == (9.0, 7.0, 5.0, 3.0)


@pytest.mark.parametrize(("mode", "verdicts"), [("score", 1), ("score", 3), ("pairwise", 1), ("pairwise", 2)])
def test_the_work_is_what_a_judge_that_can_be_read_is_asked(server: Judge, mode: Mode, verdicts: int) -> None:
    server.rule = by_place
    cases = [(prompt(number, TEXTS[1]), case(number)[1]) for number in range(3)]
    judge = rubric_judge(server, mode, verdicts)
    work = judge.work(cases, JOURNAL)
    judged(judge, cases)
    assert work.requests == len(server.requests)
    read = sum(len(message["content"]) for request in server.requests for message in request.body["messages"])
    assert 1 < work.tokens / (read / 1.4) < 1.5
    assert judge.work(cases, JOURNAL) == Work()
    assert judge.work([*cases, case(9)], JOURNAL).requests == work.requests / 3
