"""Faults of the judge: what passes is tried again, what does not is one line, and what was paid for is kept."""

from itertools import count
from pathlib import Path

import pytest

from rabbit_ko.evaluation.stages import Stage
from tests.rabbit_ko.evaluation.judge.cli import (
    ANSWERS,
    JUDGED,
    RESULTS,
    TASK,
    VERDICTS,
    after,
    answer,
    lines,
    result_of,
    run,
)
from tests.rabbit_ko.evaluation.judge_server import Judge, Reply, Request, verdict

ALL = 8
SOON = {"Retry-After-Ms": "20"}


@pytest.fixture(autouse=True)
def _in_recipe(recipe: Path) -> None:
    """Run in a recipe's working directory."""


@pytest.mark.parametrize(
    "fault",
    [
        Reply("slow down", 429, {"Retry-After": "1"}),
        Reply("slow down", 429, SOON),
        Reply("oops", 500, SOON),
        Reply("oops", 503),
        Reply("oops", 502, body=b"<html>bad gateway</html>", headers=SOON),
        Reply(drop=True),
        Reply("점수: 9", wait=30),
    ],
    ids=["429 in a second", "429", "500", "503 without a hint", "502 page", "dropped", "timeout"],
)
def test_what_passes_is_tried_again(judge: Judge, model: Judge, fault: Reply) -> None:
    judge.script = [fault]
    run(judge, model, "--timeout", "2")
    assert len(judge.requests) == ALL + 1
    assert {score.missing for score in result_of().scores} == {0}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Reply("slow down", 429, SOON), "answers 429, slow down; try again later, or lower --concurrency"),
        (Reply("oops", 500, SOON), "answers 500, oops; try again later"),
        (Reply(drop=True), "cannot be reached; start the server, or check JUDGE_URL"),
        (Reply(wait=30), "no answer within 2 s, 2 times"),
        (
            Reply("Incorrect API key", 401),
            "answers 401, Incorrect API key; check JUDGE_URL, JUDGE_MODEL and JUDGE_API_KEY",
        ),
        (Reply("not yours", 403), "answers 403, not yours; check JUDGE_URL, JUDGE_MODEL and JUDGE_API_KEY"),
        (Reply("no such model", 404), "answers 404, no such model; check JUDGE_URL, JUDGE_MODEL and JUDGE_API_KEY"),
        (Reply(body=b"<html>"), "answers, but not as chat completions do; check JUDGE_URL, which mostly ends in /v1"),
        (Reply(body=b'{"object": "x"}'), "answers, but not as chat completions do"),
    ],
)
def test_what_does_not_pass_is_one_line_and_keeps_what_was_judged(
    judge: Judge, model: Judge, monkeypatch: pytest.MonkeyPatch, fault: Reply, expected: str
) -> None:
    monkeypatch.setattr("rabbit_ko.evaluation.endpoint.RETRIES", 1)
    judge.rule = after(3, fault)
    error = run(judge, model, "--timeout", "2", exit_code=1).stderr
    assert expected in error
    assert not (RESULTS / f"{TASK}.json").exists()
    kept = lines(VERDICTS)
    assert len(kept) == 3
    judge.requests.clear()
    judge.rule = verdict
    run(judge, model)
    assert len(judge.requests) == ALL - 3
    assert len(model.requests) == ALL


@pytest.mark.parametrize("choices", ["[]", "[1]", '[{"message": null}]', '[{"message": {"content": ["점수: 3"]}}]'])
def test_a_completion_without_a_text_is_asked_for_again(judge: Judge, model: Judge, choices: str) -> None:
    judge.script = [Reply(body=f'{{"id": "1", "object": "chat.completion", "choices": {choices}}}'.encode())]
    run(judge, model)
    assert len(judge.requests) == ALL + 1


def test_half_a_character_in_a_verdict_is_no_obstacle(judge: Judge, model: Judge) -> None:
    judge.rule = lambda _: Reply("평가: \ud83d\n점수: 4")
    run(judge, model)
    assert result_of().scores[-1].value == 4.0


def test_401_403_and_404_are_not_tried_again(judge: Judge, model: Judge) -> None:
    for status in (401, 403, 404):
        judge.requests.clear()
        judge.rule = lambda _, status=status: Reply("no", status)  # type: ignore[misc]
        run(judge, model, "--concurrency", "1", exit_code=1)
        assert len(judge.requests) == 1


def test_verdicts_that_are_under_way_when_one_fails_are_kept(judge: Judge, model: Judge) -> None:
    numbers = count()

    def rule(request: Request) -> Reply:
        number = next(numbers)
        # The first is alone; those beside the one that fails are asked before it has, and answered after.
        return Reply("no", 403, wait=1) if number == 2 else Reply(verdict(request).text, wait=3 * (number > 0))

    judge.rule = rule
    run(judge, model, "--concurrency", "5", exit_code=1)
    assert len(judge.requests) == 6
    assert len(lines(VERDICTS)) == 5


def test_a_judge_that_is_not_there_is_named_before_anything_is_asked(judge: Judge, model: Judge) -> None:
    judge.shutdown()
    judge.server_close()
    error = run(judge, model, exit_code=1).stderr.splitlines()[-1]
    assert error.startswith(
        f"error: {judge.url}, local-judge: cannot be reached; start the server, or check JUDGE_URL"
    )
    assert not model.requests


def test_a_model_server_that_is_not_there_is_named(judge: Judge, model: Judge) -> None:
    model.shutdown()
    model.server_close()
    assert f"error: {model.url}, served: cannot be reached" in run(judge, model, exit_code=1).stderr


def test_a_model_server_that_refuses_is_named_with_the_question(judge: Judge, model: Judge) -> None:
    model.rule = lambda _: Reply("This model's maximum context length is 8 tokens", 400)
    error = run(judge, model, "--concurrency", "1", exit_code=1).stderr
    assert "error: question 1, turn 1: " in error
    assert "answers 400, This model's maximum context length is 8 tokens; if that is too long, lower --max" in error
    assert not judge.requests


def test_answers_under_way_when_one_fails_are_kept(judge: Judge, model: Judge) -> None:
    numbers = count()
    model.rule = lambda _: Reply("no", 401) if next(numbers) == 5 else Reply("네.")
    run(judge, model, "--concurrency", "1", exit_code=1)
    assert len(lines(ANSWERS)) == 5
    run(judge, model)
    assert len(model.requests) == ALL + 1


@pytest.mark.parametrize("finish", ["error", "content_filter"])
def test_an_answer_that_the_server_broke_off_is_none(judge: Judge, model: Judge, finish: str) -> None:
    model.script = [Reply("네."), Reply(None, finish=finish)]
    error = run(judge, model, "--concurrency", "1", exit_code=1).stderr
    assert f"answers with no answer, but finish_reason {finish}; see what the server logs" in error
    assert len(lines(ANSWERS)) == 1
    run(judge, model)
    assert {record["text"] for record in lines(ANSWERS)}.isdisjoint({""})


def test_answers_that_were_cut_are_counted_in_a_note_also_by_a_run_that_resumes(judge: Judge, model: Judge) -> None:
    model.script = [Reply("네, 그", finish="length")] * 3
    judge.rule = after(3, Reply("no", 403))
    run(judge, model, exit_code=1)
    judge.rule = verdict
    said = "note: 3 of 8 answers of base were cut at the length they may have; --max-new-tokens is 1,024"
    assert said in run(judge, model).stdout


def test_what_a_judges_server_refuses_is_learnt_once_for_all_stages(
    judge: Judge, model: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = "rabbit_ko.evaluation.stages.find_stage"
    monkeypatch.setattr(find, lambda recipe, stage: Stage(recipe, stage, "runs/smoke/base"))
    monkeypatch.setattr("rabbit_ko.evaluation.records.check_stage", lambda _: None)
    monkeypatch.setattr(Stage, "chat_template", "{{ messages }}")
    refusal = Reply("response_format is not supported", 400)
    judge.rule = lambda request: refusal if "response_format" in request.body else verdict(request)
    model.rule = lambda request: Reply(f"{request.body['model']}: {answer(request).text}")
    run(judge, model, "--stage", "base,sft", "--model-name", "old,new")
    assert ["response_format" in request.body for request in judge.requests] == [True] + [False] * 2 * ALL


def test_one_answer_that_the_judge_refuses_is_missing_with_the_reason(judge: Judge, model: Judge) -> None:
    judge.rule = lambda request: Reply("filtered", 400) if "주사위" in request.text else verdict(request)
    printed = run(judge, model).stdout
    assert "note: no readable verdict on 4 single, 4 multi;" in printed
    assert "answers 400, filtered" in lines(JUDGED)[3]["query_single"]["judge_message"]
    assert len(judge.requests) == ALL


def test_a_judge_that_refuses_everything_is_one_line(judge: Judge, model: Judge) -> None:
    judge.rule = lambda _: Reply("unknown parameter", 400)
    assert "answers 400, unknown parameter; no verdict could be had" in run(judge, model, exit_code=1).stderr
    assert not (RESULTS / f"{TASK}.json").exists()


def test_a_judge_with_a_temperature_of_its_own_is_asked_without_one(judge: Judge, model: Judge) -> None:
    refusal = Reply("Unsupported value: 'temperature' does not support 0.0", 400)
    judge.rule = lambda request: refusal if "temperature" in request.body else verdict(request)
    run(judge, model, "--concurrency", "4")
    assert {score.missing for score in result_of().scores} == {0}
    assert ALL < len(judge.requests) <= ALL + 4
